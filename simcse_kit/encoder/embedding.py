"""The part of a model that turns checked texts into whole vectors, here or in several processes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from simcse_kit.encoder.backends.interface import Backend, OnBatch
from simcse_kit.encoder.backends.processes import Pool
from simcse_kit.encoder.call import Embedded, embed_texts, prompt_of, prompt_tokens, reported, say_cut
from simcse_kit.encoder.folder import Settings
from simcse_kit.encoder.modules import Encoder
from simcse_kit.encoder.tokens import TokenTable, tokenize


class EmbedsTexts:
    """Tokenizer, encoder and backend at work; `SimCSE` holds them."""

    name: str
    tokenizer: Any
    settings: Settings
    encoder: Encoder
    backend: Backend

    def tokenize(self, sentences: Sequence[str], *, max_seq_length: int | None = None) -> TokenTable:
        """Token ids of sentences, cut at ``max_seq_length`` (None: the model's)."""
        texts = [text.lower() for text in sentences] if self.settings.do_lower_case else sentences
        return tokenize(
            self.tokenizer, texts, self.settings.max_seq_length if max_seq_length is None else max_seq_length
        )

    def default_prompt(self) -> str:
        """The prompt that `encode` puts before every text, "" for none."""
        name = self.settings.default_prompt_name
        return "" if name is None else prompt_of(self.settings, None, name)

    def _embed(
        self,
        texts: list[str],
        prompt: str,
        batch_size: int | None,
        bar: bool,
        output_device: torch.device,
        pool: Pool | None,
    ) -> Tensor:
        with reported(len(texts), bar) as on_batch:
            if pool is not None and texts:
                done = pool.embed(texts, prompt=prompt, batch_size=batch_size, on_batch=on_batch)
            else:
                done = self.embed_here(texts, prompt, batch_size, output_device, on_batch)
        say_cut(done.truncated, len(texts), self.name, self.settings.max_seq_length)
        return done.vectors.to(output_device)

    def embed_here(
        self,
        texts: Sequence[str],
        prompt: str = "",
        batch_size: int | None = None,
        output_device: torch.device | None = None,
        on_batch: OnBatch = None,
    ) -> Embedded:
        """Whole vectors (N, D) of checked texts in this process, and which texts were cut; says nothing."""
        prompt_length = 0
        if prompt and not self.settings.include_prompt:
            prompt_length = prompt_tokens(prompt, self.tokenize, self.tokenizer.all_special_ids)
        return embed_texts(
            texts,
            lambda chunk: self.tokenize([prompt + text for text in chunk] if prompt else chunk),
            self.backend,
            self.encoder.dimension,
            batch_size=batch_size,
            prompt_length=prompt_length,
            output_device=output_device or torch.device("cpu"),
            on_batch=on_batch,
        )
