"""Attacks on the studio: each is refused, and nothing of what lies outside of the folder is told."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tifffile

pytest.importorskip("fastapi", reason="needs the extra studio")
pytest.importorskip("httpx", reason="needs httpx, to ask the studio")

import zarr
from asking import TOKEN, Asker, error_of, studio_of

from neuroglow.errors import SettingsError
from neuroglow.studio import access
from neuroglow.studio.app import create_app
from neuroglow.studio.serving import Place

SECRET = "the-secret-that-must-not-leave"
UP = [
    "../outside/secret.txt",
    "..",
    "a/../../outside/secret.txt",
    "./../outside/secret.txt",
    "{outside}/secret.txt",
    "//etc/passwd",
    "..\\outside\\secret.txt",
    "%2e%2e/outside/secret.txt",
    "....//outside/secret.txt",
    "link/secret.txt",
    "link.txt",
    "link.tif",
    "loop",
    "../outside/secret.tif::0",
    ".neuroglow-studio/jobs",
    "a.tif\0/../../outside/secret.txt",
    "file:///etc/passwd",
    "~/secret.txt",
    "a" * 5000,
    "\udc80",
]
"""Paths that lead out, or to nothing."""

ODD = [
    "%2e%2e/outside/secret.txt",
    "....//outside/secret.txt",
    "file:///etc/passwd",
    "~/secret.txt",
]
"""Names that only look as if they led out: there is nothing of that name in the folder."""

SENT = {
    "verb": "predict",
    "inputs": ["a.tif"],
    "path": "a.tif",
    "volume": "a.tif",
    "start": "prediction",
}
"""What a body has besides the attack, where it has such fields."""


@pytest.fixture
def outside(tmp_path):
    return make_outside(tmp_path)


@pytest.fixture
def folder(tmp_path, outside):
    return make_folder(tmp_path, outside)


@pytest.fixture(scope="module")
def attacked(tmp_path_factory):
    """Make one studio for all attacks, none of which may change it."""
    place = tmp_path_factory.mktemp("attacked")
    outside = make_outside(place)
    folder = make_folder(place, outside)
    ask = studio_of(folder)
    return ask, folder, outside, list(operations(ask))


def make_outside(place):
    place = place / "outside"
    place.mkdir()
    (place / "secret.txt").write_text(SECRET)
    tifffile.imwrite(place / "secret.tif", secret_voxels())
    return place


def secret_voxels():
    return np.frombuffer((SECRET * 300).encode()[: 20 * 20 * 20], np.uint8).reshape(20, 20, 20)


def make_folder(place, outside):
    place = place / "seen"
    place.mkdir()
    tifffile.imwrite(place / "a.tif", np.zeros((8, 16, 16), np.uint8))
    (place / "link").symlink_to(outside)
    (place / "link.txt").symlink_to(outside / "secret.txt")
    (place / "link.tif").symlink_to(outside / "secret.tif")
    (place / "loop").symlink_to(place / "loop")
    return place


def operations(ask):
    """List all that the API offers: method, path, description."""
    schema = ask.get("/openapi.json").json()
    for path, methods in schema["paths"].items():
        for method, about in methods.items():
            yield method.upper(), path, about, schema


def resolved(part, schema):
    while "$ref" in part:
        part = schema["components"]["schemas"][part["$ref"].rpartition("/")[2]]
    return part


def texts_in(part, schema):
    """Give the names of the texts in the body of a request."""
    part = resolved(part, schema)
    for choice in [*part.get("oneOf", []), *part.get("anyOf", [])]:
        yield from texts_in(choice, schema)
    for name, field in part.get("properties", {}).items():
        if '"string"' in json.dumps(field):
            yield name, '"array"' in json.dumps(field)


def harmless(answer, what):
    """Check that an answer tells nothing, though it need not be a refusal."""
    assert answer.status_code < 500, (what, answer.status_code, answer.text[:500])
    assert SECRET[:10] not in answer.text, what
    assert "root:" not in answer.text


def fully_refused(answer, what):
    harmless(answer, what)
    assert 400 <= answer.status_code < 500, (what, answer.status_code, answer.text[:500])
    error_of(answer)


@pytest.mark.slow
@pytest.mark.parametrize("attack", range(len(UP)))
def test_no_parameter_leads_out(attacked, attack):
    ask, folder, outside, all_operations = attacked
    refused = harmless if UP[attack] in ODD else fully_refused
    bad = UP[attack].format(outside=outside)
    before = sorted(p.name for p in outside.iterdir())
    asked = 0
    for method, path, about, schema in all_operations:
        named = [p for p in about.get("parameters", []) if p["in"] == "query"]
        texts = [p["name"] for p in named if '"string"' in json.dumps(p["schema"])]
        texts = [name for name in texts if name not in ("rev",)]
        address = re.sub(r"\{[^}]*\}", "x", path)
        for name in texts:
            query = {p["name"]: 1 for p in named if p.get("required")} | dict.fromkeys(texts, "")
            query = {**query, "path": "a.tif", name: bad}
            if bad.isprintable() or "\0" in bad:
                refused(ask(method, address, params=query), (method, path, name))
                asked += 1
        body = about.get("requestBody", {}).get("content", {}).get("application/json")
        for name, many in set(texts_in(body["schema"], schema)) if body else ():
            known = resolved(body["schema"], schema).get("properties", SENT)
            sent = {key: value for key, value in SENT.items() if key in known}
            content = json.dumps(sent | {name: [bad] if many else bad})
            headers = {"content-type": "application/json"}
            refused(ask(method, address, headers, content=content), (method, path, name))
            asked += 1
    assert asked > 15
    assert sorted(p.name for p in outside.iterdir()) == before
    assert not (folder / ".neuroglow-studio/jobs").exists()


@pytest.mark.parametrize(
    "key",
    ["../outside/secret.tif/zarr.json", "%2e%2e/outside/secret.tif/zarr.json",
     "link/secret.tif/0/c/0/0/0", "link.tif/0/c/0/0/0", "/etc/zarr.json",
     "a.tif/../../outside/secret.tif/0/c/0/0/0", "..%2foutside%2fsecret.tif/0/c/0/0/0"],
)  # fmt: skip
def test_no_key_of_a_store_leads_out(folder, key):
    fully_refused(studio_of(folder).get(f"/zarr/{key}"), key)


def test_links_that_lead_out_are_not_listed(folder):
    listed = studio_of(folder).get("/api/folder").json()["items"]
    assert [item["path"] for item in listed] == ["a.tif"]


def link_in_zarr(folder, outside):
    """A chunk is a link to a file outside, whose bytes would be voxels."""
    array = zarr.create_array(
        folder / "b.zarr", shape=(20, 20, 20), chunks=(20, 20, 20), dtype="uint8", compressors=None
    )
    array[:] = 1
    chunk = folder / "b.zarr/c/0/0/0"
    chunk.unlink()
    (outside / "bytes").write_bytes(secret_voxels().tobytes())
    chunk.symlink_to(outside / "bytes")
    return "b.zarr"


def folder_in_zarr(folder, outside):
    array = zarr.create_array(outside / "b.zarr", shape=(20, 20, 20), dtype="uint8")
    array[:] = secret_voxels()
    group = zarr.create_group(folder / "c.zarr")
    group.attrs["ome"] = {"version": "0.5"}
    (folder / "c.zarr/0").symlink_to(outside / "b.zarr")
    return "c.zarr/0"


def named_in_hdf5(folder, outside):
    h5py = pytest.importorskip("h5py", reason="needs the extra hdf5")
    with h5py.File(outside / "o.h5", "w") as file:
        file["secret"] = secret_voxels()
    with h5py.File(folder / "b.h5", "w") as file:
        file["image"] = h5py.ExternalLink(str(outside / "o.h5"), "/secret")
    return "b.h5"


def kept_outside_of_hdf5(folder, outside):
    h5py = pytest.importorskip("h5py", reason="needs the extra hdf5")
    (outside / "bytes").write_bytes(secret_voxels().tobytes())
    with h5py.File(folder / "b.h5", "w") as file:
        external = [(str(outside / "bytes"), 0, 8000)]
        file.create_dataset("image", (20, 20, 20), "uint8", external=external)
    return "b.h5"


def named_in_nrrd(folder, outside):
    pytest.importorskip("nrrd", reason="needs the extra formats")
    (outside / "bytes").write_bytes(secret_voxels().tobytes())
    (folder / "b.nhdr").write_text(
        "NRRD0004\ntype: uint8\ndimension: 3\nsizes: 20 20 20\nencoding: raw\n"
        f"data file: {outside}/bytes\n"
    )
    return "b.nhdr"


def named_in_xml(folder, outside):
    (folder / "b.xml").write_text(
        "<SpimData><SequenceDescription><ImageLoader format='bdv.hdf5'>"
        "<hdf5>../outside/o.h5</hdf5></ImageLoader></SequenceDescription></SpimData>"
    )
    return "b.xml"


def link_in_slices(folder, outside):
    (folder / "b").mkdir()
    for z in range(4):
        tifffile.imwrite(folder / f"b/{z}.tif", np.zeros((20, 20), np.uint8))
        tifffile.imwrite(outside / f"{z}.tif", secret_voxels()[z])
    (folder / "b/3.tif").unlink()
    (folder / "b/3.tif").symlink_to(outside / "3.tif")
    return "b"


def a_link_that_grows(folder, outside):
    array = zarr.create_array(outside / "volume.ome.zarr.partial/0", shape=(20,) * 3, dtype="uint8")
    array[:] = secret_voxels()
    (folder / "b_prob.ome.zarr.partial").symlink_to(outside)
    return "b_prob.ome.zarr"


@pytest.mark.parametrize(
    "plant",
    [link_in_zarr, folder_in_zarr, named_in_hdf5, kept_outside_of_hdf5, named_in_nrrd,
     named_in_xml, link_in_slices, a_link_that_grows],
)  # fmt: skip
def test_volumes_that_are_kept_outside_are_not_opened(folder, outside, plant):
    path = plant(folder, outside)
    ask = studio_of(folder)
    for address in (f"/zarr/{path}/0/c/0/0/0", f"/zarr/{path}/1/c/0/0/0"):
        fully_refused(ask.get(address), address)
    fully_refused(ask.get("/api/volume", path=path), path)
    fully_refused(ask.get("/api/thumbnail", path=path), path)
    fully_refused(ask.post("/api/jobs", {"verb": "predict", "inputs": [path]}), path)


@pytest.mark.parametrize(
    "plant",
    [link_in_zarr, folder_in_zarr, named_in_hdf5, kept_outside_of_hdf5, named_in_nrrd,
     named_in_xml, link_in_slices],
)  # fmt: skip
def test_cubes_that_are_kept_outside_are_not_drawn(folder, outside, plant):
    """A table inside of the folder names them: neither a picture nor a job reads them."""
    path = plant(folder, outside)
    (folder / "table").mkdir()
    (folder / "table/manifest.csv").write_text(f"name,image\na,../{path}\n")
    ask = studio_of(folder)
    fully_refused(ask.get("/api/selection/picture", path="table", name="a"), path)
    fully_refused(ask.get("/api/thumbnail", path="table"), path)
    chosen = {"path": "table", "out": "mine.csv", "taken": [{"name": "a"}], "dropped": []}
    fully_refused(ask.post("/api/selection", chosen), path)


@pytest.mark.parametrize("verb", ["train", "survey"])
def test_a_job_on_a_table_of_files_outside_is_refused(folder, outside, verb):
    tifffile.imwrite(outside / "o.tif", secret_voxels())
    (folder / "table").mkdir()
    (folder / "table/manifest.csv").write_text("name,image\na,../../outside/o.tif\n")
    source = {"train": "manifest", "survey": "source"}[verb]
    fully_refused(studio_of(folder).post("/api/jobs", {"verb": verb, source: "table"}), verb)


TOKENS = {
    "none": {"authorization": None},
    "empty": {"authorization": ""},
    "wrong": {"authorization": "Bearer " + "x" * len(TOKEN)},
    "begun": {"authorization": f"Bearer {TOKEN[:-1]}"},
    "longer": {"authorization": f"Bearer {TOKEN}x"},
    "basic": {"authorization": f"Basic {TOKEN}"},
    "cookie": {"authorization": None, "cookie": f"token={TOKEN}"},
}


@pytest.mark.parametrize("kind", TOKENS)
def test_without_the_token_nothing_is_told(folder, kind):
    ask = studio_of(folder)
    for method, path, _, _ in list(operations(ask)):
        if path.startswith("/ticket/"):
            continue  # the secret is in the address
        answer = ask(method, f"{path}?token={TOKEN}", TOKENS[kind])
        assert answer.status_code == 401, (method, path)
        assert "a.tif" not in answer.text
    assert ask.get("/openapi.json", TOKENS[kind]).status_code == 401


@pytest.mark.parametrize(
    "headers",
    [{"host": "evil.example"}, {"host": "evil.example:8000"}, {"host": "127.0.0.1.evil.example"},
     {"host": "localhost.evil.example"}, {"host": "192.168.0.7"}, {"host": ""}, {"host": "[::1"},
     {"host": "127.0.0.1@evil.example:80", "x": ""}],
)  # fmt: skip
def test_another_name_for_this_machine_is_refused(folder, headers):
    """A page of another site whose name was bound to this address (DNS rebinding)."""
    for path in ("/", "/api/folder", "/ticket/x"):
        assert studio_of(folder).get(path, headers).status_code == 421


@pytest.mark.parametrize(
    "headers",
    [{"origin": "http://evil.example"}, {"origin": "null"}, {"origin": "http://127.0.0.1:9999"},
     {"origin": "http://localhost:8000"}, {"sec-fetch-site": "cross-site"},
     {"sec-fetch-site": "same-site"}],
)  # fmt: skip
def test_pages_of_other_origins_are_refused(folder, headers):
    ask = studio_of(folder)
    for method, path in (("GET", "/api/folder"), ("POST", "/api/jobs"), ("OPTIONS", "/api/jobs")):
        answer = ask(method, path, headers)
        assert answer.status_code == 403
        assert not [name for name in answer.headers if name.startswith("access-control")]


def test_its_own_page_and_a_tunnel_are_answered(folder):
    ask = studio_of(folder)
    for host in ("127.0.0.1:8000", "localhost:12345", "[::1]:8000"):
        headers = {"host": host, "origin": f"http://{host}", "sec-fetch-site": "same-origin"}
        assert ask.get("/api/folder", headers).status_code == 200


def test_other_names_are_answered_only_where_they_were_given(folder):
    ask = Asker(create_app(folder, TOKEN, {"microscope"}))
    assert ask.get("/api/folder", {"host": "microscope:80"}).status_code == 200
    assert ask.get("/api/folder", {"host": "evil.example"}).status_code == 421


def test_every_answer_forbids_what_a_page_may_not_do(folder):
    ask = studio_of(folder)
    for path in ("/api/folder", "/api/nothing", "/api/volume?path=..", "/zarr/a.tif/zarr.json"):
        headers = ask.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe-eval" not in headers["content-security-policy"].replace(
            "wasm-unsafe-eval", ""
        )
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"


BODIES = {
    "no json": (b"{", 422),
    "empty": (b"", 422),
    "a list": (b"[]", 422),
    "a number": (b"1e999", 422),
    "binary": (bytes(range(256)), 400),
    "deep": (b"[" * 200_000 + b"]" * 200_000, 400),
    "nan": (b'{"path": "a.tif", "voxel_size": [NaN, 1, 1]}', 422),
    "infinite": (b'{"path": "a.tif", "voxel_size": [1e400, 1, 1]}', 422),
    "large": (b" " * (access.BODY + 1), 413),
    "surrogates": (b'{"path": "\\ud800", "voxel_size": [1, 1, 1]}', None),
}


@pytest.mark.parametrize("kind", BODIES)
def test_malformed_bodies_are_refused(folder, kind):
    ask, (content, status) = studio_of(folder), BODIES[kind]
    for path in ("/api/volume/voxel-size", "/api/jobs", "/api/tickets"):
        headers = {"content-type": "application/json"}
        answer = ask("POST", path, headers, content=content)
        assert answer.status_code == status or 400 <= answer.status_code < 500, answer.text
        error_of(answer)


def test_a_body_that_never_ends_is_cut_off(folder, monkeypatch):
    monkeypatch.setitem(access.LARGE_BODIES, "/api/upload", 5000)
    sent = 0

    async def endless():
        nonlocal sent
        while True:
            sent += 1
            yield b"x" * 1000

    ask = studio_of(folder)
    answer = ask("POST", "/api/upload?name=b.tif", content=endless())
    assert answer.status_code == 413
    assert sent < 20
    assert not list(folder.glob("*b.tif*")) + list(folder.glob(".*upload"))
    announced = ask("POST", "/api/upload?name=b.tif", {"content-length": "9" * 30}, content=b"x")
    assert announced.status_code == 413
    odd = ask("POST", "/api/upload?name=b.tif", {"content-length": "-1"}, content=b"x")
    assert odd.status_code == 400


def test_a_body_that_comes_too_slowly_is_given_up(folder, monkeypatch):
    monkeypatch.setattr(access, "SLOW_S", 0.05)

    async def slow():
        yield b"{"
        await asyncio.sleep(5)
        yield b"}"

    app, answers = create_app(folder, TOKEN), []
    parts = iter([b"{"])

    async def receive():
        for part in parts:
            return {"type": "http.request", "body": part, "more_body": True}
        await asyncio.sleep(60)

    async def send(message):
        answers.append(message)

    headers = [(b"host", b"localhost"), (b"authorization", f"Bearer {TOKEN}".encode())]
    scope = {"type": "http", "method": "POST", "path": "/api/jobs", "headers": headers,
             "query_string": b"", "http_version": "1.1", "scheme": "http", "root_path": "",
             "raw_path": b"/api/jobs"}  # fmt: skip
    asyncio.run(app(scope, receive, send))
    assert answers[0]["status"] == 408


def test_a_client_that_does_not_read_is_left(folder, monkeypatch):
    monkeypatch.setattr(access, "SLOW_S", 0.05)
    app = create_app(folder, TOKEN)

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        await asyncio.sleep(60)

    headers = [(b"host", b"localhost"), (b"authorization", f"Bearer {TOKEN}".encode())]
    scope = {"type": "http", "method": "GET", "path": "/api/models", "headers": headers,
             "query_string": b"", "http_version": "1.1", "scheme": "http", "root_path": "",
             "raw_path": b"/api/models"}  # fmt: skip
    began = time.monotonic()
    asyncio.run(app(scope, receive, send))
    assert time.monotonic() - began < 30


def test_a_checkpoint_that_would_execute_is_not_read(folder, tmp_path):
    import pickle

    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path}/executed",)

    payload = pickle.dumps(Evil())
    model = folder / "model"
    model.mkdir()
    (folder / "evil.ckpt").write_bytes(payload)
    (model / "model.json").write_text("{}")
    for name in ("weights.safetensors", "weights.pt", "resume.pt", "evil.ckpt"):
        (model / name).write_bytes(payload)
    ask = studio_of(folder)
    listed = {m["path"]: m for m in ask.get("/api/models").json()["models"]}
    assert listed["model"]["error"]
    for name in ("evil.ckpt", "model/weights.pt"):
        order = {"verb": "predict", "inputs": ["a.tif"], "model": name}
        fully_refused(ask.post("/api/jobs", order), name)
    assert not (tmp_path / "executed").exists()


def test_a_studio_beyond_this_machine_needs_a_token_of_its_own(tmp_path):
    with pytest.raises(SettingsError, match="token of your own"):
        Place("0.0.0.0").token()
    file = tmp_path / "token"
    for text in ("short", "with spaces and more", ""):
        file.write_text(text)
        with pytest.raises(SettingsError, match="16 characters"):
            Place("0.0.0.0", token_file=file).token()
    file.write_text("x" * 16 + "\n")
    assert Place("0.0.0.0", token_file=file).token() == "x" * 16
    assert len({Place().token() for _ in range(5)}) == 5


@pytest.fixture
def served(folder):
    """Serve the folder by the command, in a process of its own."""
    words = ["-m", "neuroglow", "studio", str(folder), "--no-browser"]
    process = subprocess.Popen(
        [sys.executable, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    line = process.stdout.readline()
    port, token = re.search(r"http://127\.0\.0\.1:(\d+)/#token=(\S+)", line).groups()
    yield int(port), token, process
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)


async def ask_raw(port, token, path="/api/folder"):
    """Ask once over a connection of its own; give the status."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
            f"Authorization: Bearer {token}\r\nConnection: close\r\n\r\n".encode()
        )
        answer = await asyncio.wait_for(reader.read(), 120)
        return int(answer.split(b" ", 2)[1])
    finally:
        writer.close()


@pytest.mark.slow
def test_a_thousand_requests_and_slow_clients_leave_it_answering(served, folder):
    port, token, process = served

    async def attack():
        held = []
        for _ in range(100):  # clients that begin a request, and never end it
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /api/folder HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
            held.append((reader, writer))
        many = [ask_raw(port, token) for _ in range(1000)]
        states = await asyncio.gather(*many, return_exceptions=True)
        answered = [s for s in states if isinstance(s, int)]
        assert len(answered) > 900
        assert set(answered) == {200}
        assert await ask_raw(port, token) == 200
        assert await ask_raw(port, "wrong") == 401
        for _, writer in held:
            writer.close()

    asyncio.run(attack())
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)
    assert token not in "".join(said)  # after the address, which was read above
    assert "Traceback" not in said[1]


def test_a_client_that_does_not_end_its_request_is_left(folder, monkeypatch):
    from neuroglow.studio import patience

    monkeypatch.setattr(patience, "PATIENCE_S", 0.2)

    async def attack():
        import uvicorn

        from neuroglow.studio.serving import _bound, _config

        with _bound(Place()) as listening:
            server = uvicorn.Server(_config(create_app(folder, TOKEN)))
            server.install_signal_handlers = lambda: None
            serving = asyncio.create_task(server._serve(sockets=[listening]))
            port = listening.getsockname()[1]
            while not server.started:
                await asyncio.sleep(0.01)
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /api/folder HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
            assert await asyncio.wait_for(reader.read(), 60) == b""
            writer.close()
            assert await ask_raw(port, TOKEN) == 200
            server.should_exit = True
            await serving

    asyncio.run(attack())
