"""What is not collected, neither its tests nor its doctests, where its extra is not installed."""

from __future__ import annotations

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("fastapi") else ["simcse_kit/serve/*", "tests/serve/test_*"]  # the extra serve
