"""Requests of many callers in one batch: each gets its own results; an idle server does not wait."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simcse_kit.serving.batching import Batcher, Busy, WorkerError


class Recorder:
    """Doubles numbers; notes the batches; can be held back. A negative number is an error."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.open = threading.Event()
        self.open.set()

    def __call__(self, items: list[int]) -> list[int]:
        self.open.wait(10)
        self.batches.append(items)
        if any(item < 0 for item in items):
            raise ValueError("negative")
        return [2 * item for item in items]


@contextmanager
def batcher(largest: int = 8, waiting: int = 1000) -> Iterator[tuple[Batcher[int, int], Recorder]]:
    run = Recorder()
    made: Batcher[int, int] = Batcher(run, name="test", largest=largest, waiting=waiting)
    yield made, run
    run.open.set()
    made.close()


@settings(max_examples=40, deadline=None)
@given(jobs=st.lists(st.lists(st.integers(0, 99), max_size=12), max_size=12), largest=st.integers(1, 9))
def test_everybody_gets_their_own_results(jobs: list[list[int]], largest: int) -> None:
    async def main() -> list[list[int]]:
        with batcher(largest) as (made, run):
            found = await asyncio.gather(*(made.submit(job) for job in jobs))
            assert max(map(len, run.batches), default=0) <= largest
            assert sum(map(len, run.batches)) == sum(map(len, jobs))
            assert made.waiting == 0
            return found

    assert asyncio.run(main()) == [[2 * item for item in job] for job in jobs]


def test_what_waits_runs_together() -> None:
    async def main() -> list[list[int]]:
        with batcher(8) as (made, run):
            run.open.clear()
            first = asyncio.create_task(made.submit([0]))
            await asyncio.sleep(0.05)  # the first has a batch of its own
            others = [asyncio.create_task(made.submit([i])) for i in range(1, 7)]
            await asyncio.sleep(0.05)
            assert made.waiting == 6
            run.open.set()
            await asyncio.gather(first, *others)
            return run.batches

    assert asyncio.run(main()) == [[0], [1, 2, 3, 4, 5, 6]]


def test_the_callers_of_a_batch_are_told_at_once() -> None:
    async def main() -> int:
        loop, told = asyncio.get_running_loop(), list[object]()
        call = loop.call_soon_threadsafe
        with batcher(8) as (made, run), pytest.MonkeyPatch.context() as patch:
            patch.setattr(loop, "call_soon_threadsafe", lambda *given: (told.append(given), call(*given)))
            run.open.clear()
            first = asyncio.create_task(made.submit([0]))
            await asyncio.sleep(0.05)  # the first has a batch of its own
            others = [asyncio.create_task(made.submit([i])) for i in range(1, 7)]
            await asyncio.sleep(0.05)
            run.open.set()
            assert await asyncio.gather(first, *others) == [[2 * i] for i in range(7)]
            return len(told)

    assert asyncio.run(main()) == 2


def test_a_large_request_does_not_hold_up_the_small_ones() -> None:
    async def main() -> list[list[int]]:
        with batcher(4) as (made, run):
            run.open.clear()
            large = asyncio.create_task(made.submit(list(range(12))))
            await asyncio.sleep(0.05)
            small = asyncio.create_task(made.submit([100]))
            await asyncio.sleep(0.05)
            run.open.set()
            await asyncio.gather(small, large)
            return run.batches

    batches = asyncio.run(main())
    assert batches[0] == [0, 1, 2, 3]
    assert 100 in batches[1] + batches[2]
    assert sum(map(len, batches)) == 13


def test_a_bad_request_fails_alone() -> None:
    async def main() -> None:
        with batcher() as (made, run):
            run.open.clear()
            blocked = asyncio.create_task(made.submit([0]))
            await asyncio.sleep(0.05)
            jobs = [asyncio.create_task(made.submit(items)) for items in ([1], [-1], [2])]
            await asyncio.sleep(0.05)
            run.open.set()
            await blocked
            found = await asyncio.gather(*jobs, return_exceptions=True)
            assert found[0] == [2]
            assert found[2] == [4]
            assert isinstance(found[1], ValueError)
            assert await made.submit([5]) == [10]  # and it goes on

    asyncio.run(main())


def test_a_worker_outlives_what_is_no_exception(caplog: pytest.LogCaptureFixture) -> None:
    """As a panic of native code is; the others of its batch get their results, and the next batch runs."""

    class Panic(BaseException):
        pass

    def run(items: list[int]) -> list[int]:
        opened.wait(10)
        if 13 in items:
            raise Panic("a panic")
        return [2 * item for item in items]

    opened = threading.Event()

    async def main() -> None:
        made: Batcher[int, int] = Batcher(run, name="test", largest=8, waiting=10)
        first = asyncio.create_task(made.submit([0]))
        await asyncio.sleep(0.05)
        jobs = [asyncio.create_task(made.submit([item])) for item in (1, 13, 2)]
        await asyncio.sleep(0.05)
        opened.set()
        await first
        found = await asyncio.gather(*jobs, return_exceptions=True)
        assert (found[0], found[2]) == ([2], [4])
        assert isinstance(found[1], WorkerError)
        assert isinstance(found[1].__cause__, Panic)
        assert made.alive
        assert await made.submit([5]) == [10]
        made.close()
        assert not made.alive

    asyncio.run(main())


def test_a_worker_goes_on_where_its_own_code_fails(caplog: pytest.LogCaptureFixture) -> None:
    sizes: list[int] = []

    def count(size: int) -> None:
        sizes.append(size)
        if len(sizes) == 1:
            raise SystemExit("the counter")

    async def main() -> None:
        made: Batcher[int, int] = Batcher(lambda items: items, name="test", largest=8, waiting=10, on_batch=count)
        with pytest.raises(WorkerError, match="SystemExit: the counter"):
            await made.submit([1])
        assert await made.submit([2]) == [2]
        made.close()

    asyncio.run(main())
    assert "the worker 'test' failed and continues" in caplog.text


def test_too_much_is_refused_and_room_comes_back() -> None:
    async def main() -> None:
        with batcher(waiting=3) as (made, run):
            run.open.clear()
            jobs = [asyncio.create_task(made.submit([0]))]
            await asyncio.sleep(0.05)
            jobs.append(asyncio.create_task(made.submit([1, 2, 3])))
            await asyncio.sleep(0.05)
            with pytest.raises(Busy):
                await made.submit([4])
            run.open.set()
            await asyncio.gather(*jobs)
            assert await made.submit([4]) == [8]

    asyncio.run(main())


def test_whoever_has_gone_is_not_run() -> None:
    async def main() -> list[list[int]]:
        with batcher() as (made, run):
            run.open.clear()
            first = asyncio.create_task(made.submit([0]))
            await asyncio.sleep(0.05)
            gone = asyncio.create_task(made.submit([1, 2]))
            await asyncio.sleep(0.05)
            gone.cancel()
            await asyncio.sleep(0.05)
            run.open.set()
            await first
            await made.submit([3])
            assert made.waiting == 0
            return run.batches

    assert asyncio.run(main()) == [[0], [3]]


def test_closing_finishes_what_waits() -> None:
    async def main() -> None:
        run = Recorder()
        made: Batcher[int, int] = Batcher(run, name="test", largest=2, waiting=10)
        run.open.clear()
        job = asyncio.create_task(made.submit([1, 2, 3, 4, 5]))
        await asyncio.sleep(0.05)
        threading.Timer(0.1, run.open.set).start()
        began = time.perf_counter()
        await asyncio.to_thread(made.close)
        assert time.perf_counter() - began > 0.05
        assert await job == [2, 4, 6, 8, 10]
        with pytest.raises(Busy):
            await made.submit([1])

    asyncio.run(main())
