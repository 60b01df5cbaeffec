"""Stores elsewhere: s3, gs, https and others of fsspec, read with retries (extra `[remote]`).

Credentials are those of each protocol's own tools (AWS's and Google's files and variables); an
address that carries some is only shown without them.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from neuroglow.errors import InputError, ReadError, SettingsError, WriteError, without_secrets

__all__ = ["PROTOCOLS", "Place", "RemotePath", "remote_path", "resolved"]

T = TypeVar("T")

PROTOCOLS = ("s3", "s3a", "gs", "gcs", "http", "https", "memory", "abfs", "az", "adl")

WAITS_S = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""Seconds between attempts: together a minute, for which a network may drop."""

CONNECT_S, READ_S = 10.0, 30.0
"""Seconds after which an attempt is given up: without a connection, or without a further byte."""

ADDRESS = re.compile(rf"({'|'.join(PROTOCOLS)}):/+(.*)", re.DOTALL)

REFUSED = {401, 403}
ABSENT = {404, 410}
BUSY = {408, 425, 429, 500, 502, 503, 504}

DENIED = {"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "403"}


def remote_path(source: object) -> RemotePath | None:
    """Return the place of an address such as `s3://bucket/brain.zarr`; None for a local path.

    A Path made of an address, which has one slash less, is one too.
    """
    found = isinstance(source, str | Path) and ADDRESS.fullmatch(str(source).rstrip("/"))
    return RemotePath(f"{found[1]}://{found[2]}") if found else None


def resolved(path: str | Path) -> Path:
    """Return the absolute path; an address stays as it is."""
    return Path(path) if remote_path(path) else Path(path).resolve()


@dataclass(frozen=True)
class RemotePath:
    """A file or folder of a store elsewhere; a path as far as neuroglow needs it.

    address: with its credentials, if any; what is printed has none. Picklable.
    """

    address: str = field(repr=False)

    def __str__(self) -> str:
        return without_secrets(self.address)

    def __truediv__(self, name: object) -> RemotePath:
        base, mark, query = self.address.partition("?")
        inner = str(name).strip("/")
        return RemotePath(f"{base.rstrip('/')}/{inner}{mark}{query}") if inner else self

    @property
    def name(self) -> str:
        """The last part."""
        return PurePosixPath(self.address.partition("?")[0]).name

    @property
    def suffix(self) -> str:
        """The ending of its name."""
        return PurePosixPath(self.name).suffix

    @property
    def parents(self) -> list[RemotePath]:
        """The folders above, the nearest first; without the bucket or host itself."""
        base, mark, query = self.address.partition("?")
        scheme, _, rest = base.partition("://")
        parts = rest.split("/")
        return [
            RemotePath(f"{scheme}://{'/'.join(parts[:n])}{mark}{query}")
            for n in range(len(parts) - 1, 1, -1)
        ]

    def exists(self) -> bool:
        """Return whether there is such a file (a folder is none in most stores)."""
        return self.found() is not None

    def found(self) -> dict[str, Any] | None:
        """Return size, tag and time of a file; None if there is none."""
        keys = ("size", "ETag", "LastModified", "Last-Modified", "mtime", "generation", "md5Hash")
        try:
            info = self._tried(lambda fs, path: fs.info(path))
        except FileNotFoundError:
            return None
        if info.get("type") == "directory":
            return None
        return {key: str(info[key]) for key in keys if info.get(key) is not None}

    def read_bytes(self, start: int | None = None, stop: int | None = None) -> bytes:
        """Read a file, or a part of it; a negative start counts from its end.

        Raises FileNotFoundError, InputError where access is refused, ReadError after the retries.
        """

        def read(fs: Any, path: str) -> bytes:
            data = bytes(fs.cat_file(path, start=start, end=stop))
            return _part(data, start, stop)

        return self._tried(read)

    def write_bytes(self, data: bytes) -> None:
        """Write a file. Raises InputError where access is refused, WriteError after the retries."""
        try:
            self._tried(lambda fs, path: fs.pipe_file(path, data))
        except (ReadError, NotImplementedError, FileNotFoundError) as error:
            raise WriteError(
                "a store must accept what is written",
                found=getattr(error, "found", "") or f"{type(error).__name__}: {error}"[:200],
                where=str(self),
                cure="a store that can be written (https cannot), and the rights to do so",
            ) from None

    def _tried(self, act: Callable[[Any, str], T]) -> T:
        """Act, and again after a while if the store is busy, or the network drops."""
        for wait_s in (*WAITS_S, None):
            try:
                fs = _filesystem(self.address)
                return act(fs, fs._strip_protocol(self.address))
            except FileNotFoundError:
                raise
            except (InputError, SettingsError):
                raise
            except Exception as error:  # each protocol fails in its own way
                self._judge(error)
                if wait_s is None:
                    raise ReadError(
                        "a store must answer",
                        found=f"{_said(error)}, {len(WAITS_S) + 1} times",
                        where=str(self),
                        cure="look whether the network and the store are up; then --resume",
                    ) from None
                time.sleep(wait_s)
        raise AssertionError

    def _judge(self, error: Exception) -> None:
        """Raise what no retry can help: absent, refused, or not to be trusted."""
        status, code = _status_of(error)
        if status in ABSENT or code in {"NoSuchKey", "NoSuchBucket", "404"}:
            raise FileNotFoundError(str(self)) from None
        refused = status in REFUSED or code in DENIED or isinstance(error, PermissionError)
        if refused or type(error).__name__ in ("NoCredentialsError", "DefaultCredentialsError"):
            raise InputError(
                "a store must let you in",
                found=_said(error),
                where=str(self),
                cure="your own credentials, where the protocol looks for them (aws configure, "
                "gcloud auth application-default login); for a public bucket FSSPEC_S3_ANON=true; "
                "S3 also refuses files that are not there, unless you may list the bucket",
            ) from None
        if type(error).__name__ == "ClientConnectorCertificateError":  # of aiohttp
            raise InputError(
                "a store's certificate must be trusted here",
                found=_said(error),
                where=str(self),
                cure="if it is your own server: SSL_CERT_FILE=ITS-AUTHORITY.pem before the command",
            ) from None
        if status is not None and 400 <= status < 500 and status not in BUSY:
            raise InputError(
                "a store must accept the request", found=_said(error), where=str(self)
            ) from None


Place = Path | RemotePath
"""A file or folder: on this machine, or elsewhere."""


def _part(data: bytes, start: int | None, stop: int | None) -> bytes:
    """Check the length of a part: some servers send the whole file, some connections end early."""
    if start is not None and start < 0:
        return data[start:]
    if stop is None:
        return data
    asked = stop - (start or 0)
    if len(data) > asked:
        data = data[start or 0 : stop]
    if len(data) < asked:
        raise ConnectionError(f"{len(data)} bytes of {asked}")
    return data


def _status_of(error: Exception) -> tuple[int | None, str]:
    """Return the status of HTTP, and S3's own code, of an error or of the one behind it."""
    for one in (error, error.__cause__):
        response = getattr(one, "response", None)
        if isinstance(response, dict):
            code = str(response.get("Error", {}).get("Code", ""))
            return response.get("ResponseMetadata", {}).get("HTTPStatusCode"), code
    status = getattr(error, "status", None) or getattr(error, "code", None)
    return (status, "") if isinstance(status, int) else (None, "")


def _said(error: Exception) -> str:
    status, code = _status_of(error)
    number = f"status {status} {code}".strip() if status else ""
    kind = "no answer in time" if isinstance(error, TimeoutError) else type(error).__name__
    text = str(error).strip()
    return " ".join(part for part in (number, f"{kind}: {text}" if text else kind) if part)[:200]


def _filesystem(address: str) -> Any:
    """Return fsspec's file system of an address; it is kept, once for each process."""
    scheme = address.partition("://")[0]
    host = address.partition("://")[2].partition("/")[0] if scheme in ("http", "https") else ""
    return _opened(scheme, f"{scheme}://{host}/" if host else f"{scheme}://")


@lru_cache(maxsize=8)
def _opened(scheme: str, address: str) -> Any:
    packages = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs"}
    needed = packages.get(scheme, "aiohttp" if scheme in ("http", "https") else "fsspec")
    try:
        import fsspec

        return fsspec.filesystem(scheme, **_options(scheme))
    except (ImportError, ValueError) as error:
        raise InputError(
            f"volumes at {scheme}:// need {needed}",
            found=str(error)[:200],
            where=without_secrets(address),
            cure='pip install "neuroglow[remote]"',
        ) from None


def _options(scheme: str) -> dict[str, Any]:
    """Set time-outs; everything else is fsspec's own configuration (FSSPEC_S3_ENDPOINT_URL)."""
    listing = {"use_listings_cache": False, "skip_instance_cache": True}
    if scheme in ("http", "https", "gs", "gcs"):
        import aiohttp

        limits = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=READ_S)
        if scheme in ("gs", "gcs"):
            return {"session_kwargs": {"timeout": limits}, **listing}
        return {"client_kwargs": {"timeout": limits}, "block_size": 0, **listing}
    if scheme in ("s3", "s3a"):
        boto = {"connect_timeout": CONNECT_S, "read_timeout": READ_S}
        return {"config_kwargs": {**boto, "retries": {"max_attempts": 1}}, **listing}
    return {} if scheme == "memory" else listing
