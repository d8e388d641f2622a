"""OpenVINO inside this process: without telemetry, and without changes to the process's signal stack."""

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
    """The only ``openvino.Core`` of this process."""
    openvino = import_openvino()
    with guest():
        made = openvino.Core()
        made.get_property("CPU", "FULL_DEVICE_NAME")  # loads libraries that the first model would load
    return made


def openvino_multiplies_bfloat16() -> bool:
    """Whether the processor has bfloat16 instructions."""
    return "BF16" in core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def import_openvino() -> Any:
    """The module."""
    with guest():
        import openvino

    return openvino


@contextmanager
def guest() -> Iterator[None]:
    """Context for importing OpenVINO and nncf, and for making a ``Core``."""
    with _unobserved(), _signal_stack_kept():
        yield


@contextmanager
def _unobserved() -> Iterator[None]:
    """Both send usage statistics to their makers, from forked processes; CI=true turns this off."""
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
    """On processors with AMX, each ``Core`` gives its thread a signal stack, and restores the previous one at its end.

    If two cores do not end in reverse order of creation, as in nncf, a freed stack is restored, and the next signal
    (such as the end of a child process or Ctrl-C) kills the process.
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
