"""Dynamic batching: requests that arrive during one batch form the next."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Generic, TypeVar

_GATHER = 0.01  # seconds, at most
Item = TypeVar("Item")
Result = TypeVar("Result")

log = logging.getLogger("simcse_kit.serving")


class Busy(Exception):
    """The queue is full."""


class WorkerError(Exception):
    """A batch raised something other than an `Exception`, such as a panic of native code: the cause of this error."""


class Batcher(Generic[Item, Result]):
    """Runs items of many callers in batches, in its own thread, and gives each caller its results.

    A batch starts as soon as the previous one ends, with at most ``largest`` waiting items. So an idle server answers
    at once and a busy one runs large batches. After a batch with several callers, who are likely to ask again, it waits
    for as many items, for at most half the time of that batch and at most 10 ms. Items of a caller beyond ``largest``
    go to the end of the queue.

    Args:
        run: n items to n results; if it fails, items are run per caller, and only callers whose own items fail get the
            error.
        largest: most items in one batch.
        waiting: most waiting items; one more raises `Busy`.
        on_batch: receives the size of each batch.
    """

    def __init__(
        self,
        run: Callable[[list[Item]], Sequence[Result]],
        *,
        name: str,
        largest: int,
        waiting: int,
        on_batch: Callable[[int], None] = lambda size: None,
    ) -> None:
        self._run = run
        self._largest = largest
        self._limit = waiting
        self._on_batch = on_batch
        self._jobs: deque[_Job[Item, Result]] = deque()
        self._waiting = 0
        self._wanted = 1  # items that the worker waits for; fewer do not wake it
        self._changed = threading.Condition()
        self._closed = False
        self._before = (0, 0.0)  # size and seconds of the last batch
        self._parts: list[tuple[_Job[Item, Result], list[Item]]] = []  # being run
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Items in no batch yet."""
        return self._waiting

    @property
    def alive(self) -> bool:
        """Whether its thread runs."""
        return self._thread.is_alive()

    async def submit(self, items: Sequence[Item]) -> list[Result]:
        """Results of ``items``, in order. Items of a cancelled caller are not run.

        Raises:
            Busy: too many items are waiting.
        """
        if not items:
            return []
        job = _Job[Item, Result](list(items))
        with self._changed:
            if self._closed or self._waiting + len(job.items) > self._limit:
                raise Busy
            self._waiting += len(job.items)
            self._jobs.append(job)
            if self._waiting >= self._wanted:
                self._changed.notify()
        return await job.future

    def close(self, seconds: float | None = None) -> None:
        """Run the waiting items, then end the thread; after ``seconds`` it is left running."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(seconds)

    def _work(self) -> None:
        """Run batches until closed, whatever error a batch raises."""
        while True:
            try:
                while parts := self._next_batch():
                    self._run_batch(parts)
                return
            except BaseException as error:
                log.exception("the worker %r failed and continues", self._thread.name)
                for job, _ in self._parts:
                    job.fail(error)
                _settle([job for job, _ in self._parts])

    def _run_batch(self, parts: list[tuple[_Job[Item, Result], list[Item]]]) -> None:
        self._parts = parts
        size = sum(len(part) for _, part in parts)
        self._on_batch(size)
        began = time.perf_counter()
        try:
            results = iter(self._run([item for _, part in parts for item in part]))
            for job, part in parts:
                job.results += [next(results) for _ in part]
        except BaseException as error:
            for job, part in parts:
                self._run_alone(job, part, error if len(parts) == 1 else None)
        _settle([job for job, _ in parts])
        self._before = (size, time.perf_counter() - began)
        self._parts = []

    def _run_alone(self, job: _Job[Item, Result], part: list[Item], error: BaseException | None) -> None:
        try:
            if error is not None:
                raise error
            job.results += self._run(part)
        except BaseException as own:
            job.fail(own)

    def _next_batch(self) -> list[tuple[_Job[Item, Result], list[Item]]]:
        """Jobs with their items of the next batch; none after closing."""
        with self._changed:
            while True:
                self._gather()
                parts: list[tuple[_Job[Item, Result], list[Item]]] = []
                room = self._largest
                for _ in range(len(self._jobs)):
                    if not room:
                        break
                    job = self._jobs.popleft()
                    left = len(job.items) - job.taken
                    if job.cancelled or job.error is not None:
                        self._waiting -= left
                        continue
                    part = job.items[job.taken : job.taken + room]
                    job.taken += len(part)
                    self._waiting -= len(part)
                    room -= len(part)
                    parts.append((job, part))
                    if job.taken < len(job.items):
                        self._jobs.append(job)
                if parts:
                    return parts
                if self._closed:
                    return []
                self._changed.wait()

    def _gather(self) -> None:
        """Wait briefly for callers of the last batch."""
        size, seconds = self._before
        until = time.perf_counter() + min(_GATHER, seconds / 2)
        self._wanted = min(size, self._largest)
        while size > 1 and not self._closed and 0 < self._waiting < self._wanted:
            if (left := until - time.perf_counter()) <= 0:
                break
            self._changed.wait(left)
        self._wanted = 1


class _Job(Generic[Item, Result]):
    """The items and results of one caller."""

    def __init__(self, items: list[Item]) -> None:
        self.items = items
        self.taken = 0  # items that are in a batch or done
        self.results: list[Result] = []
        self.error: Exception | None = None
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[list[Result]] = self.loop.create_future()

    @property
    def cancelled(self) -> bool:
        """Whether its caller has gone."""
        return self.future.cancelled()

    @property
    def done(self) -> bool:
        """Whether the caller can be answered."""
        return self.error is not None or len(self.results) == len(self.items)

    def fail(self, error: BaseException) -> None:
        """Store the error that the caller gets instead of results."""
        if isinstance(error, Exception):
            self.error = error
        else:
            self.error = WorkerError(f"{type(error).__name__}: {error}")
            self.error.__cause__ = error

    def tell(self) -> None:
        """Give the caller results or error; runs in the caller's loop."""
        if self.future.done():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.results)


def _settle(jobs: Sequence[_Job[Item, Result]]) -> None:
    """Answer the callers of finished jobs, once per event loop, because each call wakes the loop."""
    by_loop: dict[asyncio.AbstractEventLoop, list[_Job[Item, Result]]] = {}
    for job in jobs:
        if job.done:
            by_loop.setdefault(job.loop, []).append(job)
    for loop, own in by_loop.items():
        with suppress(RuntimeError):  # the loop is closed, and its callers are gone
            loop.call_soon_threadsafe(_tell, own)


def _tell(jobs: Sequence[_Job[Item, Result]]) -> None:
    for job in jobs:
        job.tell()
