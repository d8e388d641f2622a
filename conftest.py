"""Modules whose doctests are not collected where their extra is not installed; for the tests see tests/conftest.py."""

from __future__ import annotations

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("fastapi") else ["simcse_kit/serve/*"]  # the extra serve
