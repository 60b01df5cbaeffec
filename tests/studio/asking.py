"""Ask a studio in this process, as a browser would: with the token, from its own page."""

import asyncio

import httpx

TOKEN = "a-token-of-the-tests-0123456789"


class Asker:
    """A client of one studio; `headers` are added to, or (None) taken from, those of a browser."""

    def __init__(self, app):
        self.app = app

    def __call__(self, method, path, headers=None, **more):
        return asyncio.run(self._ask(method, path, headers or {}, more))

    def get(self, path, /, headers=None, **query):
        return self("GET", path, headers, params=query)

    def post(self, path, /, body=None, headers=None):
        return self("POST", path, headers, json=body)

    async def _ask(self, method, path, headers, more):
        usual = {"authorization": f"Bearer {TOKEN}", **headers}
        kept = {name: value for name, value in usual.items() if value is not None}
        transport = httpx.ASGITransport(app=self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as c:
            return await c.request(method, path, headers=kept, **more)


def studio_of(folder):
    """Open the studio of a folder."""
    from neuroglow.studio.app import create_app

    return Asker(create_app(folder, TOKEN))


def error_of(answer):
    """Give the error of an answer, which always has its four parts."""
    parts = answer.json()["error"]
    assert set(parts) == {"rule", "found", "where", "cure"}
    assert parts["rule"]
    return parts
