"""An application that is loaded while the server answers, and replaced by another one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from simcse_kit.serving.reloading import Reloading


class Apps:
    """Makes applications that answer with their number, and records events."""

    def __init__(self) -> None:
        self.made = 0
        self.said: list[str] = []
        self.may_load = threading.Event()
        self.may_load.set()
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.fail = False

    def __call__(self) -> FastAPI:
        self.may_load.wait(10)
        if self.fail:
            raise OSError("no such model")
        self.made += 1
        number = self.made

        @asynccontextmanager
        async def life(app: FastAPI) -> AsyncIterator[None]:
            self.said.append(f"start {number}")
            yield
            self.said.append(f"stop {number}")

        app = FastAPI(lifespan=life)

        @app.get("/")
        async def answer() -> int:
            await self.may_answer.wait()
            return number

        return app


def within(test: Callable[[Apps, Reloading, httpx.AsyncClient], Any]) -> Apps:
    async def main() -> Apps:
        apps = Apps()
        reloading = Reloading(apps, 5)
        transport = httpx.ASGITransport(reloading)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            await test(apps, reloading, client)
        return apps

    return asyncio.run(main())


def test_before_it_is_loaded_it_says_so() -> None:
    async def test(apps: Apps, reloading: Reloading, client: httpx.AsyncClient) -> None:
        apps.may_load.clear()
        load = asyncio.create_task(reloading.load())
        for path in ("/", "/health"):
            answer = await client.get(path)
            assert answer.status_code == 503
            assert answer.headers["retry-after"] == "1"
            assert "loading" in answer.json()["error"]["message"]
        apps.may_load.set()
        await load
        assert (await client.get("/")).json() == 1

    within(test)


def test_a_request_ends_where_it_began() -> None:
    async def test(apps: Apps, reloading: Reloading, client: httpx.AsyncClient) -> None:
        await reloading.load()
        apps.may_answer.clear()
        before = asyncio.create_task(client.get("/"))
        await asyncio.sleep(0.05)
        load = asyncio.create_task(reloading.load())
        while apps.said[-1] != "start 2":
            await asyncio.sleep(0.01)
        after = asyncio.create_task(client.get("/"))
        await asyncio.sleep(0.05)
        assert "stop 1" not in apps.said
        apps.may_answer.set()
        assert ((await before).json(), (await after).json()) == (1, 2)
        await load

    assert within(test).said == ["start 1", "start 2", "stop 1"]


def test_what_cannot_be_loaded_leaves_what_was_there() -> None:
    async def test(apps: Apps, reloading: Reloading, client: httpx.AsyncClient) -> None:
        await reloading.load()
        apps.fail = True
        with pytest.raises(OSError, match="no such model"):
            await reloading.load()
        assert (await client.get("/")).json() == 1

    assert within(test).said == ["start 1"]
