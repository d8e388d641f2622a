"""JSON lines on standard error."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import Any


def write_line(kind: str, **values: Any) -> None:
    """Write one object: time, kind and values."""
    line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "kind": kind, **values}
    sys.stderr.write(json.dumps(line, ensure_ascii=False) + "\n")
    sys.stderr.flush()
