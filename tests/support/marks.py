"""Parameters; the fast run takes only a few."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def fast(chosen: Iterable[Any], of: Iterable[Any]) -> list[Any]:
    """All values ``of`` a parameter in their order; those that are not ``chosen`` are marked slow."""
    kept = list(chosen)
    return [value if value in kept else pytest.param(value, marks=pytest.mark.slow) for value in of]
