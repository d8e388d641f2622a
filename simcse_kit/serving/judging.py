"""Judging on the page: hits of two indexes in one shuffled list; every mark is saved at once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from fastapi import APIRouter

from simcse_kit.errors import DataError
from simcse_kit.evaluation.judging import Judging
from simcse_kit.index.judging import corpus_of, index_side, judging, take
from simcse_kit.serving.bodies import bounded_route
from simcse_kit.serving.errors import RESPONSES, ApiError
from simcse_kit.serving.indexes import IndexEngine
from simcse_kit.serving.schemas import JudgeBody, JudgeHit, JudgeQuery, JudgeRequest
from simcse_kit.serving.settings import ServeError
from simcse_kit.serving.state import ServerState


class JudgeEngine:
    """The judging of two indexes, shared by many requests, one at a time."""

    def __init__(
        self, engines: Sequence[IndexEngine], folder: str | Path, queries: str | Path | Iterable[str] | None
    ) -> None:
        """Continue with the folder, or start it; errors as in `simcse_kit.judge`."""
        if len(engines) != 2:
            raise ServeError(f"judging compares two indexes; got {len(engines)}")
        first, second = engines
        corpus = corpus_of(first.index.texts())
        if corpus.keys() != (other := corpus_of(second.index.texts())).keys():
            raise ServeError(
                f"judging needs two indexes of the same texts; {len(corpus.keys() - other):,} texts are only in "
                f"{first.name} and {len(other.keys() - corpus):,} only in the other"
            )
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        sides = [index_side(engine.name, engine.index, partial(self._search, engine)) for engine in engines]
        self._open = ExitStack()
        self._judging = self._open.enter_context(judging((sides[0], sides[1]), corpus, folder, queries=queries))

    def _search(self, engine: IndexEngine, query: str, k: int) -> list[str]:
        """Search in a batch with other requests, from a separate thread."""

        async def searched() -> list[str]:
            return [hit.text for hit in (await engine.ask([query], k)).hits[0]]

        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(searched(), self._loop).result()

    async def do(self, change: Callable[[Judging], object] = lambda judging: None) -> JudgeBody:
        """Make a change, and return the question that is open afterwards."""
        self._loop = asyncio.get_running_loop()
        try:
            return await asyncio.to_thread(self._done, change)
        except DataError as error:
            raise ApiError(422, str(error)) from error

    def _done(self, change: Callable[[Judging], object]) -> JudgeBody:
        with self._lock:
            change(self._judging)
            question = self._judging.question()
            verdict = self._judging.verdict if question is None else question.verdict
        hits = () if question is None else question.hits
        return JudgeBody(
            id=None if question is None else question.id,
            query="" if question is None else question.query,
            number=0 if question is None else question.number,
            hits=[
                JudgeHit(text=text, relevant=question is not None and place in question.relevant)
                for place, text in enumerate(hits)
            ],
            verdict=verdict.lines(),
            decided=verdict.decided,
        )

    def close(self) -> None:
        """Release the folder."""
        self._open.close()


def judge_routes(served: ServerState, judged: JudgeEngine) -> APIRouter:
    """The routes, if the server judges."""
    router = APIRouter(responses=RESPONSES, tags=["judge"], route_class=bounded_route(served.limits.json_tokens))

    @router.get("/judge")
    async def question() -> JudgeBody:
        """The open question."""
        return await judged.do()

    @router.post("/judge", responses={409: {"description": "Another question is open now."}})
    async def step(request: JudgeRequest) -> JudgeBody:
        """Answer the open question; saved before the response."""
        if request.step == "mark" and request.place is None:
            raise ApiError(422, "place is missing: which hit do you mark?")

        def said(judging: Judging) -> None:
            if request.id != judging.open_id:
                raise ApiError(409, "another question is open now; load the page again")
            if request.step != "mark":
                take(judging, request.step)
            elif request.place is not None:
                judging.mark(request.place, request.relevant)

        return await judged.do(said)

    @router.post("/judge/query")
    async def ask(request: JudgeQuery) -> JudgeBody:
        """Ask your own query next."""
        (text,) = served.texts(request.query, "query")
        return await judged.do(lambda judging: judging.ask(text))

    return router
