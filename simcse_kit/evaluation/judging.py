"""Blind judging: questions with the hits of two systems in one shuffled list; each mark is saved at once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from typing import NamedTuple

from simcse_kit.errors import DataError, say_once
from simcse_kit.evaluation.judgements import JudgedQuery, JudgementFolder, Judgements, QueryState, text_id, used_queries
from simcse_kit.evaluation.verdict import Verdict, verdict_of
from simcse_kit.wording import counted

Search = Callable[[str, int], Sequence[str]]
"""The texts that a system finds for a query, best first, at most the given number."""


class Question(NamedTuple):
    """A query and the hits of both systems, without which system found which."""

    id: str
    query: str
    hits: tuple[str, ...]  # texts, in shuffled order
    relevant: frozenset[int]  # numbers of the marked hits, from 0
    number: int  # among the queries judged or skipped so far, including this one
    verdict: Verdict  # verdict so far


class Judging:
    """Asks one query after the other and saves each mark; for one thread at a time."""

    def __init__(
        self,
        folder: JudgementFolder,
        corpus: Mapping[str, str],
        searches: tuple[Search, Search],
        queries: Iterator[str],
        used: Container[str] = frozenset(),
    ) -> None:
        """Continue from the state of the folder.

        Args:
            folder: folder in which judgements are saved.
            corpus: all texts by `text_id`.
            searches: the two systems.
            queries: texts in the order of asking; already judged ones are skipped.
            used: ids of queries used to train or select one of the models; they are not asked.
        """
        self._folder = folder
        self._corpus = corpus
        self._searches = searches
        self._queries = queries
        self._used = used
        self._shown: Verdict | None = None  # until another query is judged

    @property
    def verdict(self) -> Verdict:
        """The verdict so far."""
        recorded = used_queries(self._folder.folder)
        used = {name for name in self._folder.queries if name in self._used or name in recorded}
        return verdict_of(Judgements(self._folder.about, self._folder.queries), used)

    @property
    def open_id(self) -> str | None:
        """The hits of the open question."""
        query = self._open()
        return None if query is None else query.id

    def question(self) -> Question | None:
        """The open query, or the next one; None if there are no more."""
        query = self._open() or self._next()
        if query is None:
            return None
        if self._shown is None:
            self._shown = self.verdict
        order = self._order(query)
        closed = sum(other.state != "open" for other in self._folder.queries.values())
        return Question(
            query.id,
            query.text,
            tuple(self._corpus[name] for name in order),
            frozenset(place for place, name in enumerate(order) if name in query.relevant),
            closed + 1,
            self._shown,
        )

    def mark(self, place: int, relevant: bool | None = None) -> None:
        """Mark the hit at a place of the open question as relevant or not; None toggles the mark."""
        query = self._asked()
        order = self._order(query)
        if not 0 <= place < len(order):
            raise DataError(f"there are only {counted(len(order), 'hit')}; got place {place}")
        name = {order[place]}
        turned = query.relevant - name if query.relevant & name else query.relevant | name
        wanted = turned if relevant is None else query.relevant | name if relevant else query.relevant - name
        self._folder.save(query._replace(relevant=wanted))

    def close(self) -> None:
        """Finish the open question: hits without a mark are not relevant."""
        self._change(self._asked(), "judged")

    def skip(self) -> None:
        """Skip the open question. It is counted and not asked again."""
        self._change(self._asked(), "skipped")

    def undo(self) -> bool:
        """Ask the last judged or skipped query again, with its marks; returns whether there is one."""
        last = next((query for query in reversed(self._folder.queries.values()) if query.state != "open"), None)
        if last is not None:
            self._change(last, "open")
        return last is not None

    def ask(self, text: str) -> None:
        """Ask your own query next.

        Raises:
            DataError: the query is empty, was already judged or skipped, or was used for training or selection.
        """
        if not text.strip():
            raise DataError("the query is empty")
        name = text_id(text)
        known = self._folder.queries.get(name)
        if known is not None and known.state != "open":
            raise DataError(f"this query is already {known.state}: {text.strip():.100}")
        if name in self._used:
            raise DataError(f"one of the models was trained or selected with this query: {text.strip():.100}")
        self._folder.save(known or self._searched(name, text))

    def _open(self) -> JudgedQuery | None:
        return next((query for query in reversed(self._folder.queries.values()) if query.state == "open"), None)

    def _asked(self) -> JudgedQuery:
        query = self._open()
        if query is None:
            raise DataError("no question is open")
        return query

    def _next(self) -> JudgedQuery | None:
        for text in self._queries:
            name = text_id(text)
            if name in self._folder.queries:
                say_once("queries that were already judged or skipped are not asked again")
            elif name in self._used:
                say_once("queries used to train or select one of the models are not asked")
            else:
                self._folder.save(self._searched(name, text))
                return self._folder.queries[name]
        return None

    def _searched(self, name: str, text: str) -> JudgedQuery:
        first, second = (self._ranked(name, text, place) for place in range(2))
        return JudgedQuery(name, text, first, second)

    def _ranked(self, name: str, text: str, place: int) -> tuple[str, ...]:
        """Ids of a system's best distinct hits, without the query itself."""
        wanted, limit = self._folder.about.hits, self._folder.about.hits + 1
        while True:
            found = self._searches[place](text, limit)
            ids = [one for one in dict.fromkeys(map(text_id, found)) if one != name]
            unknown = next((hit for hit in found if text_id(hit) not in self._corpus), None)
            if unknown is not None:
                system = self._folder.about.systems[place].name
                raise DataError(
                    f"{system} found a text that is not among the given texts: {unknown!r:.100}; index these texts"
                )
            if len(ids) >= wanted or len(found) < limit:
                return tuple(ids[:wanted])
            limit *= 2  # duplicates of a text used up places

    def _order(self, query: JudgedQuery) -> list[str]:
        """Ids of the hits in random order, independent of which system found them."""
        seed = self._folder.about.seed
        return sorted(query.pool, key=lambda name: hashlib.sha256(f"{seed} {query.id} {name}".encode()).digest())

    def _change(self, query: JudgedQuery, state: QueryState) -> None:
        self._folder.save(query._replace(state=state))
        self._shown = None
