"""Tests that start Milvus Lite are collected only in the process that `test_in_its_own_process.py` makes for them."""

from __future__ import annotations

import importlib.util

from stores import MILVUS

collect_ignore_glob = ["test_in_its_own_process.py"] if MILVUS else ["test_milvus_*.py"]
if importlib.util.find_spec("milvus_lite") is None:
    collect_ignore_glob = ["*.py"]
