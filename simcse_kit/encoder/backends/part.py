"""What an encode backend says of itself. Importing this and the parts loads no torch: the command's help reads them."""

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
    """The loaded model that a backend is made for."""

    encoder: Encoder
    pad_id: int
    dtype: str  # one of the backend's
    model_name: str
    folder: Path  # where the model lies, which may hold a converted one too
    fingerprint: Callable[[], str]
    tokenize: Callable[[Sequence[str]], TokenTable]
    calibration: Sequence[str] | None  # sentences to quantize by; None: those of the package


@dataclass(frozen=True, kw_only=True)
class EncodeBackend(ABC):
    """A way to run encoders. One of your own is named ``module:class``: ``SimCSE(NAME, backend="my_module:Mine")``."""

    name: ClassVar[str] = ""
    help: ClassVar[str] = ""  # one line
    source: ClassVar[str] = ""
    order: ClassVar[int] = 100  # its place in lists; the first is the default
    dtypes: ClassVar[tuple[str, ...]] = ("float32",)  # in which it multiplies
    calibrated: ClassVar[tuple[str, ...]] = ()  # those dtypes that sentences are needed for
    device: ClassVar[str | None] = None  # the one type of device that it runs on; None: wherever the weights are

    several_processes: ClassVar[bool] = False  # whether copies of it may run in processes of their own

    @abstractmethod
    def make(self, request: BackendRequest) -> Backend:
        """What runs the encoder in ``request.dtype``.

        Raises:
            ModelError: the architecture cannot be run.
            MissingExtraError: the library is not installed.
        """

    def make_light(self, request: LightRequest) -> LightRun | None:
        """What runs a model by its light form, without torch; None: the model is to be loaded in full."""
        return None


BACKENDS: Family[type[EncodeBackend]] = Family(
    "backend", "simcse_kit.encoder.backends.parts", ModelError, EncodeBackend
)
"""All encode backends, by name."""
BACKENDS.group = "simcse_kit.backends"


def check_backend_device(backend: str | type[EncodeBackend], device: str | torch.device) -> None:
    """A `ModelError` where the backend does not run on the device; a name that is not registered is not checked."""
    if isinstance(backend, str):
        if backend not in BACKENDS:
            return
        backend = BACKENDS.get(backend)
    if backend.device is not None and str(device).partition(":")[0] != backend.device:
        place = "the CPU" if backend.device == "cpu" else backend.device
        raise ModelError(f"backend {BACKENDS.path_of(backend)} runs on {place} here; got device {device}")


def check_dtype(backend: str | type[EncodeBackend], dtype: str, calibration: Sequence[str] | None = None) -> None:
    """A `ModelError` where the backend has no such dtype, or none that needs calibration sentences."""
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
        raise ModelError(f"calibration sentences are for dtype {', '.join(those)}; got dtype {dtype}")


def check_processes(backend: str) -> None:
    """A `ModelError` where copies of the backend do not run in several processes."""
    part = BACKENDS.known(backend)
    if part is None or not part.several_processes:
        those = ", ".join(other.name for other in BACKENDS if other.several_processes)
        raise ModelError(f"several processes are for backend {those}; {backend} runs in one, with every core")


def default_device(backend: str, device: Any) -> Any:
    """The device asked for; None: the one that the backend needs, None where it runs anywhere."""
    return BACKENDS.get(backend).device if device is None else device
