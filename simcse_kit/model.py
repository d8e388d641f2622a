"""`SimCSE`: load, encode, compare, save."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Never

from simcse_kit.encoder.asked import ModelRequest
from simcse_kit.encoder.backends.interface import OnBatch
from simcse_kit.encoder.backends.part import check_processes
from simcse_kit.encoder.call import (
    DOCUMENT,
    QUERY,
    Embedded,
    as_asked,
    check_options,
    checked_texts,
    embed_texts,
    is_single,
    prompt_of,
    prompt_tokens,
    reported,
    say_cut,
    with_prompt,
)
from simcse_kit.encoder.comparing import ComparesTexts
from simcse_kit.encoder.hub import resolve
from simcse_kit.encoder.late import LoadsLate
from simcse_kit.encoder.precision import KeepsRanges
from simcse_kit.encoder.tokens import TokenTable, tokenize_by
from simcse_kit.errors import ModelError
from simcse_kit.parts import check_keywords, keywords_of
from simcse_kit.search.original_tool import OriginalToolMixin
from simcse_kit.types import EncodeFn, Vectors

if TYPE_CHECKING:
    import torch

    from simcse_kit.encoder.backends.processes import Pool
    from simcse_kit.encoder.load import Loaded
    from simcse_kit.losses.similarity import ArrayLike

logger = logging.getLogger(__name__)


class SimCSE(LoadsLate, ComparesTexts, KeepsRanges, OriginalToolMixin):
    """A sentence encoder: a HuggingFace backbone, a pooling, and a head if the pooling has one.

    A model that was loaded before opens in a light form (``simcse_kit/encoder/light``) in new processes. It imports
    torch and transformers only when needed: for ``encoder``, a device or many texts.

    Args:
        name_or_path: a folder (ours, sentence-transformers', an ``AutoModel``'s, a training checkpoint) or a hub name.
        pooling: one of ``simcse_kit.POOLERS``; None takes the folder's or the known checkpoint's, and is an error if
            neither records it.
        device: torch device; None is the first accelerator, else the CPU.
        backend: what runs the encoder: torch; openvino (CPU; the extra ``openvino``), which converts the model once and
            stores it in the user's cache; onnx (CPU; the extra ``onnx``), for a folder written by `export_model`.
        dtype: number format of the products: float32, which is exact; bfloat16; int8 (openvino); auto asks the
            processor and gives a notice of its choice. Vectors are float32, see ``precision`` of `encode`.
        calibration: a few hundred of your sentences for quantizing (int8); None: those of this package.
        max_seq_length: longest input in tokens, with special ones; None takes the folder's.
        revision: branch, tag or commit on the hub.
        local_files_only: never ask the hub.
        trust_remote_code: run Python code from the model's folder.

    Raises:
        ModelError: the model is not found, weights are missing, or the pooling is not known.
        TypeError: an ``unknown`` argument; the text names the nearest one.
    """

    def __init__(
        self,
        name_or_path: str | Path,
        *,
        pooling: str | None = None,
        device: str | torch.device | None = None,
        backend: str = "torch",
        dtype: str = "float32",
        calibration: Sequence[str] | None = None,
        max_seq_length: int | None = None,
        revision: str | None = None,
        local_files_only: bool = False,
        trust_remote_code: bool = False,
        **unknown: Never,
    ) -> None:
        if unknown:
            check_keywords(unknown, keywords_of(SimCSE.__init__), "SimCSE", TypeError)
        source = resolve(
            name_or_path,
            revision=revision,
            local_files_only=local_files_only,
            trust_remote_code=trust_remote_code,
        )
        asked = ModelRequest(
            source, pooling, device, backend, dtype, calibration, max_seq_length, local_files_only, trust_remote_code
        )
        asked.check()
        self.name = source.name
        self._open(asked)

    @classmethod
    def from_loaded(cls, loaded: Loaded, *, name: str, device: str | torch.device) -> SimCSE:
        """Wrap an encoder that is already built and on its device; used by training."""
        model = cls.__new__(cls)
        model.name = name
        model._wrap(loaded, device)
        return model

    # Properties

    @property
    def prompts(self) -> dict[str, str]:
        """Prompts to put before a text, by name; the dictionary of sentence-transformers."""
        return self.settings.prompts

    def get_embedding_dimension(self) -> int:
        """Dimension D of the vectors that `encode` returns by default."""
        truncated, dimension = self.settings.truncate_dim, self._parts.dimension
        return dimension if truncated is None else min(truncated, dimension)

    # Encoding

    def encode(
        self,
        sentences: str | Sequence[str],
        *,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int | None = None,
        show_progress_bar: bool | None = None,
        precision: str = "float32",
        ranges: ArrayLike | None = None,
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        normalize_embeddings: bool = False,
        truncate_dim: int | None = None,
        device: str | torch.device | Sequence[str | torch.device] | None = None,
        pool: Pool | None = None,
        **unknown: Never,
    ) -> Any:
        """Vectors of sentences: one string gives (D,), N strings (N, D). Arguments as in sentence-transformers.

        An empty list gives (0, D).

        Args:
            sentences: a string or a sequence of strings.
            prompt_name: the entry of ``prompts`` to put before each text; None is the folder's default prompt.
            prompt: the prompt itself; overrides ``prompt_name``.
            batch_size: sentences per forward pass; None: an efficient number.
            show_progress_bar: None shows it if this logger's level is INFO or DEBUG.
            precision: stored form of the vectors: float32, int8, uint8, binary, ubinary (one bit per dimension, D/8
                bytes).
            ranges: smallest and largest value of each dimension (2, D), for int8 and uint8. None: the model's
                ``int8_ranges``; without these, each vector is scaled so that its largest absolute value becomes 127
                (uint8: 255, and 0 becomes 128).
            convert_to_numpy: a numpy array; False gives a list of tensors.
            convert_to_tensor: one tensor, on the model's device; overrides ``convert_to_numpy``.
            normalize_embeddings: scale to length 1, after any truncation.
            truncate_dim: keep only this many dimensions from the start; None is the folder's setting.
            device: move the model there first; a list of devices starts one process on each for this call.
            pool: result of `start_multi_process_pool`, for many calls.

        Half of a surrogate pair is not valid text; it is read as U+FFFD, with a notice.

        Raises:
            TypeError: an input that is not a string (with its index); an ``unknown`` argument (with the nearest one).
            ValueError: a batch size, precision, range, dimension or prompt name that is not allowed.
        """
        if unknown:
            check_keywords(unknown, keywords_of(SimCSE.encode), "encode", TypeError)
        single = is_single(sentences)
        texts = checked_texts(sentences)
        check_options(batch_size, precision, truncate_dim)
        truncate_dim = self.settings.truncate_dim if truncate_dim is None else truncate_dim
        width = min(truncate_dim or self._parts.dimension, self._parts.dimension)
        if ranges is not None or "int8" in precision:
            ranges = self.ranges_for(precision, ranges, width)
        several = list(device) if isinstance(device, Iterable) and not isinstance(device, str) else None
        if device is not None and several is None:
            self.to(device)  # type: ignore[arg-type]
        if show_progress_bar is None:
            show_progress_bar = logger.getEffectiveLevel() in (logging.INFO, logging.DEBUG)

        prompt = prompt_of(self.settings, prompt, prompt_name)
        output_device = self.device if convert_to_tensor or not convert_to_numpy else None
        with nullcontext(pool) if several is None else self.start_multi_process_pool(several) as processes:
            vectors = self._embed(texts, prompt, batch_size, show_progress_bar, output_device, processes)
        result = as_asked(
            vectors,
            truncate_dim=truncate_dim,
            normalize=normalize_embeddings,
            precision=precision,
            ranges=ranges,
            numpy=convert_to_numpy,
            tensor=convert_to_tensor,
        )
        return result[0] if single else result

    def start_multi_process_pool(self, target_devices: Sequence[str | torch.device] | None = None) -> Pool:
        """Context with worker processes that each hold a copy of this model; pass it as ``pool`` to `encode`.

        ``target_devices``: such as ``["cuda:0", "cuda:1"]``; None: every accelerator, or two processes on the CPU.
        """
        check_processes(self._parts.backend.name)
        from simcse_kit.encoder.backends.processes import Pool
        from simcse_kit.encoder.device import all_devices, pick_device

        target_devices = all_devices() if target_devices is None else target_devices
        return Pool(self, [str(pick_device(device)) for device in target_devices])

    def encode_query(self, sentences: str | Sequence[str], **arguments: Any) -> Any:
        """`encode` with the prompt ``query``, if the model has one and no prompt is given. Same shapes."""
        return self.encode(sentences, **with_prompt(self.settings, QUERY, arguments))

    def encode_document(self, sentences: str | Sequence[str], **arguments: Any) -> Any:
        """`encode` with the first of the prompts ``document``, ``passage`` and ``corpus`` that the model has."""
        return self.encode(sentences, **with_prompt(self.settings, DOCUMENT, arguments))

    def encoder_fn(self, *, batch_size: int | None = None, show_progress_bar: bool = False) -> EncodeFn:
        """This model as a plain function for evaluators: N sentences -> (N, D) float32.

        The STS protocol does not cut sentences: for its scores, call the function inside ``with model.full_length():``.
        """

        def encode(sentences: Sequence[str]) -> Vectors:
            vectors: Vectors = self.encode(
                checked_texts(sentences), batch_size=batch_size, show_progress_bar=show_progress_bar
            )
            return vectors

        return encode

    def tokenize(self, sentences: Sequence[str], *, max_seq_length: int | None = None) -> TokenTable:
        """Token ids of sentences, cut at ``max_seq_length`` (None: the model's)."""
        return tokenize_by(self.settings, self._parts.tokenizer, sentences, max_seq_length)

    def default_prompt(self) -> str:
        """The prompt that `encode` puts before every text; "" if there is none."""
        name = self.settings.default_prompt_name
        return "" if name is None else prompt_of(self.settings, None, name)

    def _embed(
        self,
        texts: list[str],
        prompt: str,
        batch_size: int | None,
        bar: bool,
        output_device: torch.device | None,
        pool: Pool | None,
    ) -> Any:
        with reported(len(texts), bar) as on_batch:
            if pool is not None and texts:
                done = pool.embed(texts, prompt=prompt, batch_size=batch_size, on_batch=on_batch)
            else:
                done = self.embed_here(texts, prompt, batch_size, output_device, on_batch)
        say_cut(done.truncated, len(texts), self.name, self.settings.max_seq_length)
        vectors: Any = done.vectors
        return vectors if output_device is None else vectors.to(output_device)

    def embed_here(
        self,
        texts: Sequence[str],
        prompt: str = "",
        batch_size: int | None = None,
        output_device: torch.device | None = None,
        on_batch: OnBatch = None,
    ) -> Embedded:
        """Vectors (N, D) of checked texts, encoded in this process, and which texts were cut. Gives no notice.

        Vectors are a tensor on ``output_device``. None: on the CPU, or an array if torch is not needed.
        """
        parts, output_device = self._for_texts(texts, output_device)
        prompt_length = 0
        if prompt and not self.settings.include_prompt:
            prompt_length = prompt_tokens(prompt, self.tokenize, parts.tokenizer.all_special_ids)
        return embed_texts(
            texts,
            lambda chunk: self.tokenize([prompt + text for text in chunk] if prompt else chunk),
            parts.backend,
            parts.dimension,
            batch_size=batch_size,
            prompt_length=prompt_length,
            output_device=output_device,
            on_batch=on_batch,
        )

    # Saving

    def save(self, folder: str | Path) -> None:
        """Write a folder that `SimCSE`, sentence-transformers and (without a head) ``AutoModel`` load, with equal
        vectors.

        The write is atomic: a new folder appears as a whole. In an existing folder, the model's files are replaced at
        one instant and all other files stay. A killed process leaves the old model or the new one; of two writers, one
        wins. For a model with LoRA adapters, only the adapters and the name of the base model are written; merge them
        with `simcse_kit.encoder.lora.merge_lora` to write a complete model.

        Raises:
            ModelError: ``folder`` is a file, or holds a model of the other kind (with or without adapters).
            DiskFullError: the disk is full; existing files are untouched.
        """
        target = Path(folder)
        if target.is_file():
            raise ModelError(f"{target} is a file; name a folder to save the model in")
        self._whole().save(target, self.settings, self.record, self.get_embedding_dimension())

    def write(self, folder: Path) -> None:
        """Write the files of `save` into an existing empty folder."""
        self._whole().write(folder, self.settings, self.record, self.get_embedding_dimension())

    def write_card(self, folder: Path) -> None:
        """Write only the record and the README, each atomically."""
        self._whole().write_card(folder, self.settings, self.record, self.get_embedding_dimension())

    def push_to_hub(self, repo_id: str, *, private: bool | None = None, commit_message: str | None = None) -> str:
        """Upload the saved folder to the hub repository ``owner/name`` (created if missing). Returns its URL."""
        from simcse_kit.encoder.saving import upload

        return upload(self.save, repo_id, private=private, commit_message=commit_message)

    def __repr__(self) -> str:
        return (
            f"SimCSE({self.name!r}, pooling={self.pooling!r}, dimension={self.get_embedding_dimension()}, "
            f"max_seq_length={self.max_seq_length}, device={str(self.device)!r}, backend={self.backend.name!r}, "
            f"dtype={self.backend.dtype!r})"
        )
