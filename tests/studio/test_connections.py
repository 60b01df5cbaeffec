"""Connections whose requests do not end as announced: each client gets its answer, and only its own."""

import asyncio
import select
import socket
import threading
import time
from contextlib import contextmanager

import pytest

pytest.importorskip("fastapi", reason="needs the extra studio")

import numpy as np
import tifffile
import uvicorn
from asking import TOKEN

from neuroglow.studio import access, patience
from neuroglow.studio.app import create_app
from neuroglow.studio.serving import Place, _bound, _config


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("seen")
    tifffile.imwrite(place / "a.tif", np.zeros((8, 16, 16), np.uint8))
    (place / "large.html").write_bytes(b"x" * 40_000_000)
    return place


@pytest.fixture(scope="module")
def server(folder):
    """Serve the folder in a thread."""
    with _bound(Place()) as listening:
        server = uvicorn.Server(_config(create_app(folder, TOKEN)))
        server.install_signal_handlers = lambda: None
        serving = threading.Thread(
            target=lambda: asyncio.run(server._serve(sockets=[listening])), daemon=True
        )
        serving.start()
        server.port = listening.getsockname()[1]
        yield server
        server.should_exit = True
        serving.join(60)


@pytest.fixture
def port(server):
    return server.port


@contextmanager
def connected(port):
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        yield client


def head(method, path, token=TOKEN, **headers):
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Authorization: Bearer {token}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def answer_of(client):
    """Read to the end of the connection; give the status, the headers and the body of the answer."""
    said = b""
    while part := client.recv(2**16):
        said += part
    first, _, body = said.partition(b"\r\n\r\n")
    return int(first.split(b" ", 2)[1]), first.lower(), body


def until_ended(client):
    """Wait until the server has ended its side, but read nothing."""
    waiting = select.poll()
    waiting.register(client, select.POLLRDHUP)
    assert waiting.poll(30_000)


def test_the_next_request_is_not_taken_for_a_body_that_never_came(port):
    """schemathesis does this to the length of an upload; its client then met a network error."""
    with connected(port) as client:
        client.sendall(head("POST", "/api/upload?name=no", content_length=3000))
        client.sendall(head("GET", "/api/folder"))  # as if the connection could be used again
        status, first, body = answer_of(client)
    assert status == 400
    assert b"connection: close" in first
    assert b"plain name" in body
    assert b"HTTP/1.1" not in body  # one request, one answer


def test_a_body_that_nobody_reads_does_not_cost_the_connection(port):
    with connected(port) as client:
        client.sendall(head("POST", "/api/nothing", content_length=5000))
        client.sendall(b"x" * 5000)
        client.sendall(head("GET", "/api/folder", connection="close"))
        status, first, body = answer_of(client)
    assert status in (404, 405)
    assert b"connection: close" not in first
    assert b"HTTP/1.1 200" in body


LATE = {
    "refused by its token": (head("POST", "/api/jobs", "wrong", content_length=400_000), 401),
    "too long": (head("POST", "/api/jobs", content_length=10**9), 413),
    "no HTTP": (b"POST /api/jobs HTTP/1.1\r\nHost : 127.0.0.1\r\nContent-Length: 4\r\n\r\n", 400),
}


@pytest.mark.parametrize("kind", LATE)
def test_an_answer_arrives_though_its_client_still_sends(port, kind):
    """A connection that is closed with unread bytes is reset, and the answer is lost."""
    first, expected = LATE[kind]
    with connected(port) as client:
        client.sendall(first)
        until_ended(client)
        for _ in range(4):
            client.sendall(b"x" * 100_000)
        assert answer_of(client)[0] == expected


def test_a_client_that_sends_for_ever_is_left(port, monkeypatch):
    monkeypatch.setattr(patience, "LINGER_S", 0.1)
    with connected(port) as client:
        client.sendall(head("POST", "/api/jobs", "wrong", content_length=10**12))
        with pytest.raises(OSError):  # reset
            for _ in range(100_000):
                client.sendall(b"x" * 1000)


def test_a_client_that_never_reads_its_last_answer_is_left(server, monkeypatch):
    monkeypatch.setattr(patience, "UNREAD_S", 0.1)
    with connected(server.port) as client:
        own = client.getsockname()
        client.sendall(head("GET", "/api/report?path=large.html", connection="close"))
        client.recv(1)

        def is_held():
            return any(c.client == own for c in list(server.server_state.connections))

        until = time.monotonic() + 30
        while is_held() and time.monotonic() < until:
            time.sleep(0.02)
        assert not is_held()


def test_an_answer_that_stalls_is_broken_off(port, monkeypatch):
    monkeypatch.setattr(access, "SLOW_S", 0.1)
    with connected(port) as client:
        client.sendall(head("POST", "/api/jobs", content_length=100) + b"{")
        assert answer_of(client)[0] == 408
