"""How often the gate of `adapt` sees harm, from results/gate.json: chosen on three domains, tried on the fourth."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from lib.record import has, load
from simcse_kit.evaluation.gate import too_little

HARM = -1.0  # P@10
DRAWS = 10_000


Limits = Mapping[tuple[str, ...], float]  # of signs, or of products of signs


class Run(NamedTuple):
    """A trained model beside its start model."""

    domain: str
    method: str
    seed: int
    change: float  # P@10
    kept: dict[str, float]  # each sign after training, as a share of the start model's

    @property
    def harmed(self) -> bool:
        """Whether more than a point is lost."""
        return self.change < HARM


class Confusion(NamedTuple):
    """Runs by what happened to their search and what the gate said."""

    caught: int
    missed: int
    alarms: int
    passed: int

    @classmethod
    def of(cls, runs: Sequence[Run], limits: Limits) -> Confusion:
        """The gate says harm where a limit is not held."""
        pairs = [(run.harmed, bool(too_little(run.kept, limits))) for run in runs]
        return cls(*(pairs.count(kind) for kind in ((True, True), (True, False), (False, True), (False, False))))

    def __add__(self, other: Confusion) -> Confusion:  # type: ignore[override]
        return Confusion(*(one + two for one, two in zip(self, other, strict=True)))

    @property
    def rates(self) -> tuple[float, float]:
        """Harms that were caught, harmless runs that were stopped."""
        harmed, harmless = self.caught + self.missed, self.alarms + self.passed
        return self.caught / harmed if harmed else float("nan"), self.alarms / harmless if harmless else float("nan")


def gate_runs() -> list[Run]:
    """Every trained run of the file."""
    rows: list[dict[str, Any]] = load("gate")["runs"] if has("gate") else []
    starts = {row["domain"]: row for row in rows if row["method"] == "start"}
    return [
        Run(
            row["domain"],
            row["method"],
            row["seed"],
            row["p@10"] - starts[row["domain"]]["p@10"],
            {name: value / starts[row["domain"]]["signs"][name] for name, value in row["signs"].items()},
        )
        for row in rows
        if row["method"] != "start" and row["domain"] in starts
    ]


def best_limits(runs: Sequence[Run], signs: Iterable[tuple[str, ...]]) -> dict[tuple[str, ...], float]:
    """For one product of signs after the other the limit with the fewest faults, in the middle of all that have as few.

    >>> made = [Run("a", "m", 1, change, {"s": kept}) for change, kept in ((-5, 0.7), (-2, 0.8), (0, 1.0), (1, 1.2))]
    >>> {signs: round(limit, 3) for signs, limit in best_limits(made, [("s",)]).items()}
    {('s',): 0.9}
    """
    found: dict[tuple[str, ...], float] = {}
    for sign in signs:
        values = sorted({math.prod(run.kept[one] for one in sign) for run in runs})
        edges = [values[0] - 0.02, *values, values[-1] + 0.02]
        between = [(low + high) / 2 for low, high in pairwise(edges)]
        tried = [Confusion.of(runs, found | {sign: limit}) for limit in between]
        faults = [one.missed + one.alarms for one in tried]
        found[sign] = statistics.median(
            [limit for limit, fault in zip(between, faults, strict=True) if fault == min(faults)]
        )
    return found


def by_domain(
    runs: Sequence[Run], signs: Iterable[tuple[str, ...]], limits: Limits | None = None
) -> dict[str, Confusion]:
    """Each domain with the limits that were chosen on the others, or with those that are given."""
    return {
        domain: Confusion.of(
            [run for run in runs if run.domain == domain],
            limits or best_limits([run for run in runs if run.domain != domain], signs),
        )
        for domain in sorted({run.domain for run in runs})
    }


def intervals(found: dict[str, Confusion]) -> list[tuple[float, float]]:
    """95 % intervals of both rates; whole domains are drawn, as the runs of one are alike."""
    counts = np.array([list(one) for one in found.values()])  # (domains, 4)
    drawn = np.random.default_rng(0).integers(len(counts), size=(DRAWS, len(counts)))
    caught, missed, alarms, passed = counts[drawn].sum(1).T
    with np.errstate(invalid="ignore"):
        rates = caught / (caught + missed), alarms / (alarms + passed)
    return [(float(low), float(high)) for low, high in (np.nanquantile(rate, [0.025, 0.975]) for rate in rates)]


def gate_table(limits: Limits) -> str:
    """The confusion table of the gate that is used, and its rates with a domain left out."""
    runs = gate_runs()
    if not runs:
        return ""
    used, tried = by_domain(runs, list(limits), limits), by_domain(runs, list(limits))
    lines = ["| domain | harmed, stopped | harmed, passed | harmless, stopped | harmless, passed |"]
    lines.append(f"| --- |{' ---: |' * 4}")
    lines += [f"| {domain} | {' | '.join(str(count) for count in one)} |" for domain, one in used.items()]
    lines.append(f"| all, the limits in use | {' | '.join(map(str, _total(used)))} |")
    lines.append(f"| all, limits from the other domains | {' | '.join(map(str, _total(tried)))} |")
    told = [
        f"{name} {100 * rate:.0f} % (95 % interval {100 * low:.0f} to {100 * high:.0f})"
        for name, rate, (low, high) in zip(
            ("harms stopped", "false alarms"), _total(tried).rates, intervals(tried), strict=True
        )
    ]
    shares = " or ".join(f"{100 * limit:g} % of {' × '.join(sign)}" for sign, limit in limits.items())
    head = (
        f"{len(runs)} runs whose P@10 is known; harmed: it lost more than {-HARM:g} point. Stopped: the model "
        f"kept less than {shares}. With limits chosen on the other domains: {', '.join(told)}; whole domains are drawn "
        "([gate.json](eval/results/gate.json), `python eval/gate.py`):"
    )
    needless = [run.change for run in runs if not run.harmed and too_little(run.kept, limits)]
    if needless:
        span = f"{min(needless):+.1f} to {max(needless):+.1f}"
        head = f"{head[:-1]}. Harmless runs that the limits in use stop changed P@10 by {span}:"
    return head + "\n\n" + "\n".join(lines)


def _total(found: dict[str, Confusion]) -> Confusion:
    return sum(found.values(), Confusion(0, 0, 0, 0))
