"""Description of an encode backend. Importing this and the parts loads no torch: the command's help reads them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from simcse_kit.errors import ModelError
from simcse_kit.parts import Family

if TYPE_CHECKING:
    import torch

    from simcse_kit.encoder.backends.interface import Backend
    from simcse_kit.encoder.light.request import LightRequest, LightRun
    from simcse_kit.encoder.modules import Encoder
    from simcse_kit.encoder.tokens import TokenTable


class BackendRequest(NamedTuple):
    """The loaded model for a new backend."""

    encoder: Encoder
    pad_id: int
    dtype: str  # one of the backend's
    model_name: str
    folder: Path  # the model's folder, which may hold a converted model too
    fingerprint: Callable[[], str]
    tokenize: Callable[[Sequence[str]], TokenTable]
    calibration: Sequence[str] | None  # sentences for quantizing; None: those of the package


@dataclass(frozen=True, kw_only=True)
class EncodeBackend(ABC):
    """A way to run encoders. Name your own as ``module:class``: ``SimCSE(NAME, backend="my_module:Mine")``."""

    name: ClassVar[str] = ""
    help: ClassVar[str] = ""  # one line
    source: ClassVar[str] = ""
    order: ClassVar[int] = 100  # position in lists; the first is the default
    dtypes: ClassVar[tuple[str, ...]] = ("float32",)  # number formats
    calibrated: ClassVar[tuple[str, ...]] = ()  # dtypes that need calibration sentences
    device: ClassVar[str | None] = None  # the only type of device it supports; None: the device of the weights

    several_processes: ClassVar[bool] = False  # whether copies of it may run in several processes

    @abstractmethod
    def make(self, request: BackendRequest) -> Backend:
        """Make the backend in ``request.dtype``.

        Raises:
            ModelError: the architecture is not supported.
            MissingExtraError: the library is not installed.
        """

    def make_light(self, request: LightRequest) -> LightRun | None:
        """Make a backend for the model's light form, without torch; None: load the full model."""
        return None


BACKENDS: Family[type[EncodeBackend]] = Family(
    "backend", "simcse_kit.encoder.backends.parts", ModelError, EncodeBackend
)
"""All encode backends, by name."""
BACKENDS.group = "simcse_kit.backends"


def check_backend_device(backend: str | type[EncodeBackend], device: str | torch.device) -> None:
    """Raise a `ModelError` if the backend does not support the device; does not check unregistered names."""
    if isinstance(backend, str):
        if backend not in BACKENDS:
            return
        backend = BACKENDS.get(backend)
    if backend.device is not None and str(device).partition(":")[0] != backend.device:
        place = "the CPU" if backend.device == "cpu" else backend.device
        raise ModelError(f"backend {BACKENDS.path_of(backend)} runs on {place} here; got device {device}")


def check_dtype(backend: str | type[EncodeBackend], dtype: str, calibration: Sequence[str] | None = None) -> None:
    """Raise a `ModelError` if the backend lacks the dtype, or the dtype takes no calibration sentences."""
    part = BACKENDS.get(backend) if isinstance(backend, str) else backend
    if dtype not in (*part.dtypes, "auto"):
        where = [other.name for other in BACKENDS if dtype in other.dtypes]
        hint = f"; {dtype} runs with backend {', '.join(where)}" if where else ""
        raise ModelError(
            f"dtype of backend {BACKENDS.path_of(part)} must be one of {', '.join(part.dtypes)}, auto; "
            f"got {dtype!r}{hint}"
        )
    if calibration is not None and dtype not in (*part.calibrated, "auto"):
        those = dict.fromkeys(one for backend in BACKENDS for one in backend.calibrated)
        raise ModelError(f"calibration sentences need dtype {', '.join(those)}; got dtype {dtype}")


def check_processes(backend: str) -> None:
    """Raise a `ModelError` if copies of the backend cannot run in several processes."""
    part = BACKENDS.known(backend)
    if part is None or not part.several_processes:
        those = ", ".join(other.name for other in BACKENDS if other.several_processes)
        raise ModelError(f"several processes need backend {those}; {backend} runs in one process with all cores")


def default_device(backend: str, device: Any) -> Any:
    """The requested device, or else the one that the backend requires; None if it supports any."""
    return BACKENDS.get(backend).device if device is None else device
