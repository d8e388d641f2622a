"""Training steps with ``torch.compile``: fewer, larger kernels for an accelerator that waits between kernels."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import torch

from simcse_kit.encoder.modules import Encoder
from simcse_kit.encoder.speed import is_plain
from simcse_kit.errors import say_once


@contextlib.contextmanager
def compiled(encoder: Encoder, trial: Callable[[], object], *, backend: str = "inductor") -> Iterator[bool]:
    """Inside the context, ``encoder.run`` is the compiled backbone; yields whether this works here.

    ``trial`` is a training step that triggers the compilation. If it fails (no C compiler, no Triton), a notice is
    given and the backbone runs as usual. Nothing is compiled if speed-ups are off, see `speed`.
    """
    if is_plain():
        yield False
        return
    encoder.run = torch.compile(encoder.backbone.forward, dynamic=True, backend=backend)
    try:
        trial()
    except Exception as error:  # compilers fail in many ways, and an error of the step itself will occur again
        encoder.run = None
        reason = " ".join((str(error).strip() or type(error).__name__).splitlines()[:2])
        say_once(f"torch.compile fails here, so steps run without it: {reason}")
    try:
        yield encoder.run is not None
    finally:
        encoder.run = None
