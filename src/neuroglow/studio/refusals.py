"""Refusals: every error of the studio as an answer of four parts, never as a traceback."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from neuroglow.errors import (
    InputError,
    NeuroglowError,
    OutputError,
    ReadError,
    RunError,
    UsageError,
    WriteError,
)

__all__ = ["RefusedError", "answer_errors", "body_of", "missing"]

_log = logging.getLogger("neuroglow.studio")

STATUS: dict[type[NeuroglowError], int] = {
    OutputError: 409,
    UsageError: 400,
    ReadError: 422,
    WriteError: 409,
    RunError: 409,
}
"""Status of an answer by the kind of error; the first that fits."""


class RefusedError(UsageError):
    """A request is refused; nothing was done."""

    def __init__(self, status: int, rule: str, **parts: str) -> None:
        super().__init__(rule, **parts)
        self.status = status


def missing(where: str, found: str = "nothing there") -> RefusedError:
    """Return the error for a path at which there is nothing to see."""
    return RefusedError(
        404, "the path must exist in the folder of the studio", found=found, where=where
    )


def body_of(rule: str, found: str = "", where: str = "", cure: str = "") -> dict[str, Any]:
    """Return the body of an answer that tells an error."""
    return {"error": {"rule": rule, "found": found, "where": where, "cure": cure}}


def answer_errors(app: FastAPI, root: str) -> None:
    """Turn errors into answers; the folder's own place on this machine is left out of them."""

    def ours(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, NeuroglowError)
        parts = (error.rule, error.found, error.where, error.cure)
        said = [part.replace(root + "/", "").replace(root, ".") for part in parts]
        return JSONResponse(body_of(*said), status_of(error))

    def invalid(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return JSONResponse(body_of("the request must be valid", first["msg"], where), 422)

    def other(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        return JSONResponse(
            body_of("the request must be one that the studio knows", str(error.detail)),
            error.status_code,
            error.headers,
        )

    def system(_: Request, error: Exception) -> JSONResponse:
        _log.warning("%s: %.200s", type(error).__name__, error)
        found = getattr(error, "strerror", None) or type(error).__name__
        return JSONResponse(body_of("the file must be readable and writable", found), 409)

    def gone(_: Request, error: Exception) -> JSONResponse:
        return JSONResponse(body_of("a request must arrive whole", "it was broken off"), 400)

    app.add_exception_handler(ClientDisconnect, gone)
    app.add_exception_handler(NeuroglowError, ours)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, other)
    app.add_exception_handler(OSError, system)


def status_of(error: NeuroglowError) -> int:
    """Return the status of the answer to an error."""
    if isinstance(error, RefusedError):
        return error.status
    if isinstance(error, InputError) and error.found in ("nothing there", "no file"):
        return 404
    return next((status for kind, status in STATUS.items() if isinstance(error, kind)), 400)
