"""Training steps through ``torch.compile``: fewer, larger kernels on an accelerator that waits for the next one."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import torch

from simcse_kit.encoder.modules import Encoder
from simcse_kit.encoder.speed import is_plain
from simcse_kit.errors import say_once


@contextlib.contextmanager
def compiled(encoder: Encoder, trial: Callable[[], object], *, backend: str = "inductor") -> Iterator[bool]:
    """Inside the context, ``encoder.run`` is the compiled backbone; yields whether it works here.

    ``trial`` is a training step that compiles it; where it fails (no C compiler, no Triton), that is said once and the
    backbone runs as it is. Nothing is compiled where speed is off, see `speed`.
    """
    if is_plain():
        yield False
        return
    encoder.run = torch.compile(encoder.backbone.forward, dynamic=True, backend=backend)
    try:
        trial()
    except Exception as error:  # a compiler fails in many ways, and a step that is wrong will say so again
        encoder.run = None
        reason = " ".join((str(error).strip() or type(error).__name__).splitlines()[:2])
        say_once(f"torch.compile does not work here, so steps run without it: {reason}")
    try:
        yield encoder.run is not None
    finally:
        encoder.run = None
