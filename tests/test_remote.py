"""Volumes at an address: the same voxels, through faults; what is refused; nothing secret is left."""

import json
import pickle
import socket
import socketserver
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import numpy as np
import pytest
import zarr

import neuroglow
from neuroglow.errors import InputError, OutputError, ReadError, WriteError, without_secrets
from neuroglow.files import remote
from neuroglow.files.remote import RemotePath, remote_path, resolved
from neuroglow.formats.n5 import N5Volume
from neuroglow.formats.opening import create_volume, find_volumes, open_volume
from neuroglow.space.geometry import Box
from neuroglow.space.volume import VolumeSpec

SHAPE = (12, 20, 140)
PRODUCTION_S = remote.WAITS_S


@pytest.fixture(scope="module")
def voxels():
    drawn = np.random.default_rng(4).integers(0, 999, SHAPE, np.uint16)
    drawn[:, :, 64:128] = 0
    return drawn


@pytest.fixture(scope="module")
def folder(tmp_path_factory, voxels):
    """A folder with an OME-Zarr (sharded) and a zarr 2 array."""
    place = tmp_path_factory.mktemp("served")
    spec = VolumeSpec(SHAPE, voxels.dtype, (2, 1, 1), (16, 32, 64), (8, 16, 16))
    new = create_volume(place / "a.ome.zarr", spec)
    for x in range(0, 140, 64):
        new.write(Box((0, 0, x), (12, 20, min(140, x + 64))), voxels[:, :, x : x + 64])
    new.finish()
    zarr.create_array(
        store=place / "old.zarr", data=voxels, chunks=(8, 8, 32), zarr_format=2, overwrite=True
    )
    return place


class Server(socketserver.ThreadingTCPServer):
    """A web server of a folder, which can be told to fail."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, folder, port=0):
        super().__init__(("127.0.0.1", port), Handler)
        self.folder, self.faults, self.asked, self.ranges = folder, [], [], True


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        server, path = self.server, self.path.partition("?")[0]
        server.asked.append(self.path)
        fault = server.faults.pop(0) if server.faults and "/c/" in path else None
        file = Path(f"{server.folder}{path}")
        if isinstance(fault, int):
            self.send_error(fault)
        elif not file.is_file():
            self.send_error(404)
        else:
            self.answer(file.read_bytes(), fault)

    def answer(self, data, fault):
        span = self.headers.get("Range") if self.server.ranges else None
        self.send_response(206 if span else 200)
        if span:
            first, _, last = span.removeprefix("bytes=").partition("-")
            stop = min(int(last) + 1, len(data)) if last else len(data)
            self.send_header("Content-Range", f"bytes {first}-{stop - 1}/{len(data)}")
            data = data[int(first) : stop] if first else data[-int(last) :]
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if fault == "hang":
            threading.Event().wait(2)
        elif self.command == "GET":
            self.wfile.write(data[: len(data) // 2] if fault == "truncated" else data)


@pytest.fixture
def web(folder, monkeypatch):
    pytest.importorskip("aiohttp", reason="the extra [remote] is not installed")
    monkeypatch.setattr(remote, "WAITS_S", (0.01,) * 4)
    monkeypatch.setattr(remote, "READ_S", 0.5)
    remote._opened.cache_clear()
    with Server(folder) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        server.url = f"http://127.0.0.1:{server.server_address[1]}"
        yield server
        server.shutdown()
    remote._opened.cache_clear()


def whole(volume):
    return volume.read(Box.of(volume.shape))


def test_an_address_is_told_from_a_path():
    for text in ("s3://b/a.zarr", Path("s3://b/a.zarr"), Path("gs://b/a/"), "https://h/a.zarr"):
        assert remote_path(text)
        assert resolved(text) == Path(text)
        assert find_volumes(text) == [text]
    assert remote_path(Path("s3://b/a.zarr")).address == "s3://b/a.zarr"
    for text in ("c:/a.zarr", "a.zarr", "/s3:/b/a.zarr", "brain.h5::/s3"):
        assert remote_path(text) is None
    with pytest.raises(InputError, match="begins with one of"):
        open_volume("ftp://host/a.zarr")


def test_other_outputs_elsewhere_are_refused_with_the_way_to_copy_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    image = np.zeros((8, 8, 8), np.uint8)
    with pytest.raises(
        OutputError, match=r"(?s)only convert.*neuroglow convert p.zarr -o s3://b/p"
    ):
        neuroglow.predict(image, out="s3://b/p.zarr")
    assert not list(tmp_path.iterdir())


def test_nothing_secret_is_shown():
    place = RemotePath("https://me:word@host/a.zarr?sig=abc") / "0/c"
    assert place.address == "https://me:word@host/a.zarr/0/c?sig=abc"
    assert str(place) == "https://host/a.zarr/0/c"
    assert "word" not in repr(place)
    error = InputError("a", found="GET https://me:word@host/x?token=1 failed, why", where="no://@")
    assert str(error) == "a\n  found: GET https://host/x failed, why\n  where: no://"
    assert without_secrets("a@b.c, is it? yes") == "a@b.c, is it? yes"
    assert [str(p) for p in RemotePath("s3://b/x/y").parents] == ["s3://b/x"]


@pytest.mark.slow
@pytest.mark.parametrize("ranges", [True, False])
def test_a_volume_is_read_through_faults(web, folder, voxels, ranges):
    web.ranges = ranges  # some servers send the whole file whatever part is asked for
    for name in ("a.ome.zarr", "old.zarr", "a.ome.zarr/1"):
        volume = open_volume(f"{web.url}/{name}")
        here = open_volume(folder / name)
        assert volume.voxel_size_um == here.voxel_size_um
        web.faults = [503, "truncated", "hang", 429]
        assert np.array_equal(whole(volume), whole(here))
        assert not web.faults or name != "a.ome.zarr"
        box = Box((3, 5, 20), (7, 9, 69))
        again = pickle.loads(pickle.dumps(volume))
        assert np.array_equal(again.read(box), here.read(box))
    assert open_volume(f"{web.url}/a.ome.zarr").identity == volume.__class__.identity.func(
        open_volume(f"{web.url}/a.ome.zarr")
    )


@pytest.mark.slow
def test_what_is_refused_is_said(web):
    with pytest.raises(InputError, match="none of the files with which they begin"):
        open_volume(f"{web.url}/none.zarr")
    volume = open_volume(f"{web.url}/a.ome.zarr")
    web.faults = [403] * 20
    with pytest.raises(ReadError, match=r"(?s)must let you in.*status 403"):
        whole(volume)
    web.faults = [503] * 100
    with pytest.raises(ReadError, match=r"status 503.*5 times"):
        whole(volume)
    closed = web.url
    web.faults = []
    web.shutdown()
    web.server_close()
    with pytest.raises(ReadError, match="a store must answer"):
        open_volume(f"{closed}/a.ome.zarr")


@pytest.mark.slow
def test_a_prediction_of_an_address_leaves_no_secret(web, tmp_path, capsys):
    address = web.url.replace("http://", "http://me:word@") + "/a.ome.zarr?token=abc"
    out = tmp_path / "p.ome.zarr"
    (report,) = neuroglow.predict(address, out=out, progress=True)
    assert report.blocks.ok
    record = report.record.read_text()
    assert json.loads(record)["input"]["name"] == f"{web.url}/a.ome.zarr"
    assert any("token=abc" in asked for asked in web.asked)
    said = capsys.readouterr()
    for text in (record, said.out, said.err, str(report)):
        assert "word" not in text
        assert "abc" not in text


# --- N5 ------------------------------------------------------------------------------------------


def write_n5(path, voxels, compression, block=(16, 8, 5), **attributes):
    """Write a dataset by TensorStore, which knows nothing of our reader."""
    ts = pytest.importorskip("tensorstore", reason="an independent writer of N5 is not installed")
    metadata = {
        "dimensions": list(voxels.shape[::-1]),
        "blockSize": list(block),
        "dataType": str(voxels.dtype),
        "compression": compression,
    }
    spec = {"driver": "n5", "kvstore": {"driver": "file", "path": f"{path}/"}, "metadata": metadata}
    ts.open(spec, create=True).result().write(voxels.T).result()
    file = path / "attributes.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **attributes}))


@pytest.mark.parametrize("kind", ["raw", "gzip", "bzip2", "xz", "zstd", "blosc"])
def test_n5_of_every_compression(tmp_path, voxels, kind):
    more = {"blosc": {"cname": "lz4", "clevel": 3, "shuffle": 1}}.get(kind, {})
    write_n5(tmp_path / "a.n5/s0", voxels, {"type": kind, **more})
    (tmp_path / "a.n5/attributes.json").write_text(
        '{"pixelResolution": {"dimensions": [500, 500, 2000], "unit": "nm"}}'
    )
    volume = open_volume(tmp_path / "a.n5")
    assert isinstance(volume, N5Volume)
    assert (volume.shape, volume.dtype, volume.voxel_size_um) == (SHAPE, np.uint16, (2, 0.5, 0.5))
    assert np.array_equal(whole(volume), voxels)
    box = Box((3, 5, 60), (7, 9, 139))
    assert np.array_equal(volume.read(box), voxels[box.slices])
    assert volume.identity == open_volume(tmp_path / "a.n5/s0").identity
    block = next(f for f in sorted((tmp_path / "a.n5/s0/0").rglob("*")) if f.is_file())
    block.write_bytes(block.read_bytes()[:-9])
    with pytest.raises(ReadError, match="every block must be complete"):
        whole(open_volume(tmp_path / "a.n5"))


def test_n5_of_lz4_java(tmp_path):
    import imagecodecs

    data = np.arange(64, dtype=">u2").tobytes()
    packed = imagecodecs.lz4_encode(data)
    frame = b"LZ4Block" + bytes([0x25]) + len(packed).to_bytes(4, "little")
    frame += len(data).to_bytes(4, "little") + bytes(4) + packed
    end = b"LZ4Block" + bytes([0x15]) + bytes(12)
    header = b"\0\0\0\3" + b"".join(n.to_bytes(4, "big") for n in (8, 4, 2))
    file = tmp_path / "a.n5/raw/0/0/0"
    file.parent.mkdir(parents=True)
    file.write_bytes(header + frame + end)
    said = {"dimensions": [8, 4, 2], "blockSize": [8, 4, 2], "dataType": "uint16"}
    said["compression"] = {"type": "lz4", "blockSize": 65536}
    (tmp_path / "a.n5/raw/attributes.json").write_text(json.dumps(said))
    assert np.array_equal(whole(open_volume(tmp_path / "a.n5")), np.arange(64).reshape(2, 4, 8))


def test_one_dataset_of_several_is_chosen(tmp_path, voxels):
    for name in ("left", "right"):
        write_n5(tmp_path / f"a.n5/{name}", voxels, {"type": "raw"})
    with pytest.raises(InputError, match=r"(?s)one dataset.*left, .*right.*a.n5/left, for example"):
        open_volume(tmp_path / "a.n5")
    assert open_volume(tmp_path / "a.n5/right").shape == SHAPE
    report = neuroglow.convert(
        tmp_path / "a.n5/left", out=tmp_path / "l.ome.zarr", voxel_size=(1, 1, 1)
    )
    assert np.array_equal(whole(open_volume(report.output)), voxels)


# --- S3 ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bucket(folder):
    server = pytest.importorskip("moto.server", reason="moto's S3 server is not installed")
    pytest.importorskip("s3fs", reason="the extra [remote] is not installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "key")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")
        running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        running.start()
        host, port = running.get_host_and_port()
        patch.setitem(
            __import__("fsspec").config.conf, "s3", {"endpoint_url": f"http://{host}:{port}"}
        )
        patch.setattr(remote, "WAITS_S", (0.01,) * 2)
        remote._opened.cache_clear()
        fs = remote._filesystem("s3://brains/a")
        fs.mkdir("brains")
        fs.put(str(folder / "a.ome.zarr"), "brains/a.ome.zarr", recursive=True)
        yield "s3://brains"
        running.stop()
        remote._opened.cache_clear()


@pytest.mark.slow
def test_a_bucket_is_read_and_its_absence_is_said(bucket, folder):
    volume = open_volume(f"{bucket}/a.ome.zarr")
    assert np.array_equal(whole(volume), whole(open_volume(folder / "a.ome.zarr")))
    assert volume.identity == open_volume(Path(f"{bucket}/a.ome.zarr")).identity
    with pytest.raises(InputError, match="none of the files"):
        open_volume(f"{bucket}/b.ome.zarr")


@pytest.mark.slow
def test_a_volume_is_converted_into_a_bucket(bucket, folder, voxels, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out = f"{bucket}/new.ome.zarr"
    options = {"chunk": (8, 16, 16), "shard": (8, 16, 64)}
    write, refused = RemotePath.write_bytes, []

    def fail(self, data):
        if self.address.endswith("0/c/1/0/0") and not refused:
            refused.append(self)
            raise WriteError("a store must accept what is written", found="status 503")
        write(self, data)

    monkeypatch.setattr(RemotePath, "write_bytes", fail)
    with pytest.raises(WriteError, match="must accept"):
        neuroglow.convert(folder / "a.ome.zarr", out=out, **options)
    with pytest.raises(InputError):  # it is no image before it is complete
        open_volume(out)
    report = neuroglow.convert(folder / "a.ome.zarr", out=out, mode="resume", **options)
    assert report.record == Path("new_run.json")
    assert report.blocks.ok
    assert np.array_equal(whole(open_volume(out)), voxels)
    assert np.array_equal(
        whole(open_volume(f"{out}/1")), whole(open_volume(folder / "a.ome.zarr/1"))
    )
    with pytest.raises(OutputError, match="not overwritten"):
        neuroglow.convert(folder / "a.ome.zarr", out=out, **options)
    assert "hidden" not in report.record.read_text()


class Line:
    """A network between a client and a server on this machine, which can drop and come back."""

    def __init__(self, port):
        self.server, self.open, self.ends = ("127.0.0.1", port), True, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with suppress(OSError):  # closed at the end
            while True:
                near = self.listener.accept()[0]
                if not self.open:
                    near.close()
                    continue
                far = socket.create_connection(self.server)
                self.ends += [near, far]
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self.pump, args=(one, other), daemon=True).start()

    def pump(self, one, other):
        with suppress(OSError):
            while data := one.recv(1 << 16):
                other.sendall(data)
        for end in (one, other):
            end.close()

    def drop(self):
        self.open = False
        for end in self.ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self.ends.clear()

    def come_back(self):
        self.open = True


@pytest.mark.slow
def test_a_network_that_drops_for_a_minute_while_it_is_written_costs_nothing(
    bucket, folder, voxels, tmp_path, monkeypatch
):
    import fsspec

    monkeypatch.chdir(tmp_path)
    assert sum(remote.WAITS_S) < 60 <= sum(PRODUCTION_S)
    line = Line(int(fsspec.config.conf["s3"]["endpoint_url"].rpartition(":")[2]))
    monkeypatch.setitem(fsspec.config.conf, "s3", {"endpoint_url": f"http://127.0.0.1:{line.port}"})
    monkeypatch.setattr(remote, "WAITS_S", tuple(wait / 30 for wait in PRODUCTION_S))
    monkeypatch.setattr("s3fs.core.S3FileSystem.retries", 1)  # its own are for two seconds more
    remote._opened.cache_clear()
    write, written, waits, sleep = RemotePath.write_bytes, [], [], time.sleep

    def meddled(self, data):
        written.append(self)
        if len(written) == 4:  # in the middle of the voxels
            line.drop()
            threading.Timer(0.8, line.come_back).start()  # 24 s of a minute
        write(self, data)

    monkeypatch.setattr(RemotePath, "write_bytes", meddled)
    monkeypatch.setattr(time, "sleep", lambda s: (waits.append(s), sleep(s)))
    out = f"{bucket}/dropped.ome.zarr"
    options = {"chunk": (8, 16, 16), "shard": (8, 16, 64)}
    report = neuroglow.convert(folder / "a.ome.zarr", out=out, **options)
    assert report.blocks.ok
    assert waits  # it was away
    assert np.array_equal(whole(open_volume(out)), voxels)
    line.listener.close()
    remote._opened.cache_clear()
