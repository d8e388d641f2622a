"""OpenVINO in this process: no telemetry, and signals keep their stack. Each test in its own process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
ModelFolder = Callable[[str], Path]

SENDS = """
import sys
from openvino_telemetry.utils.sender import TelemetrySender
sent = []
TelemetrySender.send = lambda self, backend, message: sent.append(message)
if sys.argv[1:]:
    from simcse_kit import SimCSE
    SimCSE(sys.argv[1], pooling="mean", backend="openvino", dtype="int8").encode(["A cat."])
else:
    import openvino
import os
assert "CI" not in os.environ
print("sent", len(sent))
"""

# Two models, the first deleted before the second, as in nncf; then a signal on an alternate stack.
SIGNALS = """
import ctypes, faulthandler, gc, signal, sys
from simcse_kit import SimCSE
faulthandler.enable()  # which gives the process a stack for signals
class Stack(ctypes.Structure):
    _fields_ = [("start", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t)]
def stack():
    found = Stack()
    ctypes.CDLL(None).sigaltstack(None, ctypes.byref(found))
    return found.start, found.size
before = stack()
assert before[0]
models = [SimCSE(sys.argv[1], pooling="mean", backend="openvino", dtype="int8") for _ in range(2)]
for model in models:
    model.encode(["A cat."])
while models:
    del models[0], model
    gc.collect()
    model = None
seen = []
signal.signal(signal.SIGUSR1, lambda *_: seen.append(1))
signal.raise_signal(signal.SIGUSR1)
print("signals", len(seen), stack() == before)
"""


def run(script: str, *arguments: str, home: Path) -> str:
    surroundings = {name: value for name, value in os.environ.items() if name != "CI"}
    surroundings |= {"HOME": str(home), "XDG_CACHE_HOME": str(home), "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], env=surroundings, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


def test_nobody_is_told_what_is_converted_and_nothing_is_written(tiny_model: ModelFolder, tmp_path: Path) -> None:
    pytest.importorskip("nncf")
    assert run(SENDS, str(tiny_model("bert")), home=tmp_path) == "sent 0"
    assert run(SENDS, home=tmp_path) == "sent 1"  # the default


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="OpenVINO gives threads such stacks on Linux")
def test_signals_find_their_stack(tiny_model: ModelFolder, tmp_path: Path) -> None:
    pytest.importorskip("nncf")
    assert run(SIGNALS, str(tiny_model("bert")), home=tmp_path) == "signals 1 True"
