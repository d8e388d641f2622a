"""Cost of the checks of files, models and indexes: check_cost.json, index_before.json and soak.json in words."""

from __future__ import annotations

from collections.abc import Iterator

from lib.record import has, load


def promise_lines() -> Iterator[str]:
    """One line each."""
    lines = [line for line in (_checks(), _index(), _soak()) if line]
    if lines:
        yield from ("## What safety costs", "")
        yield from (part for line in lines for part in (line, ""))


def _checks() -> str:
    if not has("check_cost"):
        return ""
    cost = [f"{work}: {_percent(one)}" for work, one in load("check_cost")["work"].items()]
    loads = [
        f"{name}: {1e3 * (both['with'] - both['without']):.0f} ms"
        for name, both in load("check_cost")["load_seconds"].items()
    ]
    return (
        f"Checks of inputs, files and models, the time with them beside the time without: {'; '.join(cost)}. Loading a "
        f"model takes longer by ({'; '.join(loads)}) ([check_cost.json](eval/results/check_cost.json))."
    )


def _index() -> str:
    if not has("index_before"):
        return ""
    found = load("index_before")
    cost = [
        f"{step} {found[step]['milliseconds']['now']:.1f} ms, {_percent(found[step])}"
        for step in ("open", "search", "add")
    ]
    return (
        f"An index of {found['rows']:,} rows, kind {found['kind']}, beside commit `{found['of']}`, when not every byte "
        f"was checked: {'; '.join(cost)} ([index_before.json](eval/results/index_before.json))."
    )


def _soak() -> str:
    if not has("soak"):
        return ""
    found = load("soak")
    return (
        f"A server under {found['clients']} clients for {found['seconds'] / 60:g} minutes, "
        f"{sum(found['answers'].values()):,} requests of every kind: {found['mib']['first']:.0f} MiB at first, "
        f"{found['mib']['middle']:.0f} in the middle, {found['mib']['last']:.0f} at the end "
        "([soak.json](eval/results/soak.json))."
    )


def _percent(one: dict[str, list[float] | float]) -> str:
    """A change in percent with its interval."""
    low, high = one["interval"]  # type: ignore[misc]
    return f"{one['percent']:+.1f} % (95 % interval {low:+.1f} to {high:+.1f})"
