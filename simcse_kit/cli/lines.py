"""The JSON lines that a command writes on standard error."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import Any


def write_line(kind: str, **values: Any) -> None:
    """Write one object: when, of what kind, and the values."""
    line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "kind": kind, **values}
    sys.stderr.write(json.dumps(line, ensure_ascii=False) + "\n")
    sys.stderr.flush()
