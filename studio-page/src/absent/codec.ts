// The server sends chunks as they are: zarrita's codecs made of WebAssembly stay out of the bundle.
export default class AbsentCodec {
  static fromConfig(): never {
    throw new Error("This page reads chunks that are not compressed, or by gzip.");
  }
}
