"""Faults of machines and networks: what a run survives, and what it says. Others: test_receipts."""

import ssl
import threading
import time
from http.server import ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from neuroglow.errors import InputError, OutputError, WriteError
from neuroglow.files import remote
from neuroglow.formats.opening import open_volume
from neuroglow.runs.unfinished import Unfinished
from neuroglow.space.geometry import Box
from neuroglow.status import status
from test_receipts import at_block, bytes_in, drawn, tree, whole
from test_remote import Server, folder, voxels

__all__ = ["folder", "tree", "voxels", "whole"]  # fixtures

DAY_S = 86_400
PRODUCTION_S = remote.WAITS_S


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is full")
def test_a_disk_that_is_full_stops_the_run_and_a_resume_completes_it(
    tmp_path, tree, whole, monkeypatch
):
    """The file of one block is a device on which there is no room: the kernel's own error."""
    out = tmp_path / "label.ome.zarr"
    full = Unfinished(out).projections / "00000003.json"
    with monkeypatch.context() as disk:
        at_block(disk, 3, lambda: full.symlink_to("/dev/full"))
        with pytest.raises(WriteError, match="No space left") as caught:
            drawn(tree, out)
    assert "enough space" in str(caught.value)
    assert not out.exists()
    full.unlink()
    assert drawn(tree, out, "resume").blocks.resumed == 3
    assert bytes_in(out) == whole


def test_a_clock_that_is_set_back_changes_nothing(tmp_path, tree, whole, monkeypatch):
    """Every look at the clock finds it a day earlier; files that were made look newer than now."""
    out, days, seen = tmp_path / "label.ome.zarr", [0], []
    now = time.time

    def earlier():
        days[0] += 1
        return now() - days[0] * DAY_S

    monkeypatch.setattr(time, "time", earlier)
    with monkeypatch.context() as meddling:
        at_block(meddling, 4, lambda: seen.append(status(out)))
        assert drawn(tree, out).blocks.ok
    assert seen[0].done + seen[0].skipped == 4
    assert seen[0].remaining_s is None or seen[0].remaining_s >= 0
    assert bytes_in(out) == whole
    assert days[0] > 0


def everything(volume):
    return volume.read(Box.of(volume.shape))


@pytest.fixture
def quick(monkeypatch):
    """A minute of the production's waits is a second here."""
    pytest.importorskip("aiohttp", reason="the extra [remote] is not installed")
    monkeypatch.setattr(remote, "WAITS_S", tuple(wait / 60 for wait in PRODUCTION_S))
    monkeypatch.setattr(remote, "READ_S", 0.5)
    remote._opened.cache_clear()
    yield
    remote._opened.cache_clear()


def serving(server):
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    return server


def test_a_network_that_drops_for_a_minute_costs_nothing(folder, voxels, quick):
    assert sum(PRODUCTION_S) >= 60
    with serving(Server(folder)) as server:
        port = server.server_address[1]
        volume = open_volume(f"http://127.0.0.1:{port}/a.ome.zarr")
        server.shutdown()
    back = []

    def come_back():
        again = Server(folder, port)
        back.append(serving(again))

    timer = threading.Timer(0.4, come_back)  # 24 s of a minute
    timer.start()
    began = time.monotonic()
    assert np.array_equal(everything(volume), voxels)
    assert time.monotonic() - began > 0.3  # it was away
    timer.join()
    back[0].shutdown()
    back[0].server_close()


@pytest.fixture
def secure(folder, quick):
    """A web server with a certificate that only those trust who know its authority."""
    trustme = pytest.importorskip("trustme", reason="trustme is not installed")
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with Server(folder) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        serving(server)
        server.url, server.authority = f"https://127.0.0.1:{server.server_address[1]}", authority
        yield server
        server.shutdown()


def test_a_secure_server_is_read_through_faults(secure, voxels, monkeypatch):
    import aiohttp
    import fsspec

    trusting = ssl.create_default_context()
    secure.authority.configure_trust(trusting)

    async def client(**how):
        return aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trusting), **how)

    monkeypatch.setitem(fsspec.config.conf, "https", {"get_client": client})
    volume = open_volume(f"{secure.url}/a.ome.zarr")
    secure.faults = [503, "truncated", "hang", 503]
    assert np.array_equal(everything(volume), voxels)
    assert not secure.faults


def test_a_certificate_that_is_not_trusted_is_said_at_once(secure):
    began = time.monotonic()
    with pytest.raises(InputError, match=r"(?s)certificate.*SSL_CERT_FILE"):
        open_volume(f"{secure.url}/a.ome.zarr")
    assert time.monotonic() - began < sum(remote.WAITS_S)


@pytest.fixture(scope="module")
def google(folder):
    """A server that answers as Google's storage does, over http."""
    emulator = pytest.importorskip("gcp_storage_emulator.server", reason="no emulator of gs://")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")  # the emulator speaks no gRPC
        gcsfs = pytest.importorskip("gcsfs", reason="the extra [remote] is not installed")
    import fsspec

    with pytest.MonkeyPatch.context() as patch:  # as it is, one open connection blocks all others
        patch.setattr(emulator.server, "HTTPServer", ThreadingHTTPServer)
        server = emulator.create_server("127.0.0.1", 0, in_memory=True, default_bucket="brains")
        server.start()
    url = f"http://127.0.0.1:{server._api._httpd.server_address[1]}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gcsfs, "GCSFileSystem", gcsfs.core.GCSFileSystem)
        patch.setitem(fsspec.config.conf, "gs", {"endpoint_url": url, "token": "anon"})
        patch.setattr(remote, "WAITS_S", (0.01,) * 2)
        remote._opened.cache_clear()
        fs = remote._filesystem("gs://brains/a")
        for file in (folder / "a.ome.zarr").rglob("*"):
            if file.is_file():
                fs.pipe_file(f"brains/{file.relative_to(folder)}", file.read_bytes())
        yield "gs://brains"
    server.stop()
    remote._opened.cache_clear()


@pytest.mark.slow
def test_a_bucket_of_google_is_read_and_written(google, folder, voxels, tmp_path, monkeypatch):
    import neuroglow

    monkeypatch.chdir(tmp_path)
    volume = open_volume(f"{google}/a.ome.zarr")
    assert np.array_equal(everything(volume), voxels)
    assert np.array_equal(volume.read(Box((3, 5, 20), (7, 9, 69))), voxels[3:7, 5:9, 20:69])
    with pytest.raises(InputError, match="none of the files"):
        open_volume(f"{google}/b.ome.zarr")
    out = f"{google}/new.ome.zarr"
    options = {"chunk": (8, 16, 16), "shard": (8, 16, 64)}
    report = neuroglow.convert(folder / "a.ome.zarr", out=out, **options)
    assert report.blocks.ok
    assert np.array_equal(everything(open_volume(out)), voxels)
    with pytest.raises(OutputError, match="not overwritten"):
        neuroglow.convert(folder / "a.ome.zarr", out=out, **options)
