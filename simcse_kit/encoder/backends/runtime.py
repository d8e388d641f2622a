"""OpenVINO as a guest in this process: it tells nobody what it does, and leaves the process's signal stack alone."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any


@cache
def core() -> Any:
    """The one ``openvino.Core`` of this process."""
    openvino = import_openvino()
    with guest():
        made = openvino.Core()
        made.get_property("CPU", "FULL_DEVICE_NAME")  # loads what would otherwise be loaded by the first model
    return made


def openvino_multiplies_bfloat16() -> bool:
    """Whether the processor has bfloat16 products of its own."""
    return "BF16" in core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def import_openvino() -> Any:
    """The module."""
    with guest():
        import openvino

    return openvino


@contextmanager
def guest() -> Iterator[None]:
    """Around OpenVINO's and nncf's imports, and whatever makes a ``Core``."""
    with _unobserved(), _signal_stack_kept():
        yield


@contextmanager
def _unobserved() -> Iterator[None]:
    """Both tell their makers what they are used for, from processes that a thread forks off; CI=true is their no."""
    before = os.environ.get("CI")
    os.environ["CI"] = "true"
    try:
        yield
    finally:
        if before is None:
            del os.environ["CI"]
        else:
            os.environ["CI"] = before


class _Stack(ctypes.Structure):
    _fields_ = (("start", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


@contextmanager
def _signal_stack_kept() -> Iterator[None]:
    """On processors with AMX each ``Core`` gives its thread a stack for signals, and puts the former back at its end.

    Where two do not end in the reverse order of their making, as in nncf, one that is gone is put back, and the next
    signal (a child that ends, a Ctrl-C) kills the process.
    """
    if not sys.platform.startswith("linux"):
        yield
        return
    libc = ctypes.CDLL(None)
    before = _Stack()
    known = libc.sigaltstack(None, ctypes.byref(before)) == 0
    try:
        yield
    finally:
        if known:
            libc.sigaltstack(ctypes.byref(before), None)
