// Chunks of volumes: fetched a few at a time, the latest wish first, and kept until memory is needed.

export type Samples = Uint8Array | Uint16Array | Int16Array | Int8Array | Uint32Array | Int32Array | Float32Array | Float64Array;

export interface Chunk {
  data: Samples;
  shape: readonly number[];
}

type Fetch = () => Promise<Chunk>;

const AT_ONCE = 6;
const KEEP_BYTES = 384 * 2 ** 20;

interface Wish {
  key: string;
  lasting: boolean;
  fetch: Fetch;
  done: (chunk: Chunk) => void;
  failed: (error: unknown) => void;
}

/** A cache of chunks for all volumes of a viewer. */
export class Chunks {
  private readonly kept = new Map<string, Chunk>();
  private readonly awaited = new Map<string, Promise<Chunk>>();
  private wishes: Wish[] = [];
  private running = 0;
  private bytes = 0;

  /** The chunk, if it is here. */
  peek(key: string): Chunk | undefined {
    const chunk = this.kept.get(key);
    if (chunk) {
      this.kept.delete(key);
      this.kept.set(key, chunk);
    }
    return chunk;
  }

  /** The chunk, fetched if it is not here; whoever asks twice waits for the same fetch. */
  get(key: string, fetch: Fetch, lasting = false): Promise<Chunk> {
    const here = this.peek(key);
    if (here) return Promise.resolve(here);
    const underway = this.awaited.get(key);
    if (underway) return underway;
    const promise = new Promise<Chunk>((done, failed) => this.wishes.push({ key, lasting, fetch, done, failed }));
    this.awaited.set(key, promise);
    this.pump();
    return promise;
  }

  /** Forget wishes that have not begun, unless they are lasting or still wanted: the view has moved on. */
  forgetWishes(wanted: ReadonlySet<string>): void {
    const keep = (wish: Wish): boolean => wish.lasting || wanted.has(wish.key);
    const gone = this.wishes.filter((wish) => !keep(wish));
    this.wishes = this.wishes.filter(keep);
    for (const wish of gone) {
      this.awaited.delete(wish.key);
      wish.failed(new Forgotten());
    }
  }

  /** Forget all that begins with a prefix: its volume has grown. */
  drop(prefix: string): void {
    for (const [key, chunk] of this.kept)
      if (key.startsWith(prefix)) {
        this.kept.delete(key);
        this.bytes -= chunk.data.byteLength;
      }
  }

  private pump(): void {
    while (this.running < AT_ONCE && this.wishes.length) {
      const wish = this.wishes.pop();
      if (wish) void this.fulfil(wish);
    }
  }

  private async fulfil(wish: Wish): Promise<void> {
    this.running++;
    try {
      const chunk = await wish.fetch();
      this.keep(wish.key, chunk);
      wish.done(chunk);
    } catch (error) {
      wish.failed(error);
    } finally {
      this.running--;
      this.awaited.delete(wish.key);
      this.pump();
    }
  }

  private keep(key: string, chunk: Chunk): void {
    this.kept.set(key, chunk);
    this.bytes += chunk.data.byteLength;
    for (const [old, its] of this.kept) {
      if (this.bytes <= KEEP_BYTES) break;
      this.kept.delete(old);
      this.bytes -= its.data.byteLength;
    }
  }
}

/** A fetch that was given up because nobody looks there any more. */
export class Forgotten extends Error {}
