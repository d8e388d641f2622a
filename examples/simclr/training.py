"""SimCLR's encoder, projection head and training loop, in the lecture's names: h = f(x), z = g(h)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import ResNetConfig, ResNetModel

from simclr.images import Images
from simclr.views import augmentations, enlarged, two_views
from simcse_kit import TrainingError, nt_xent
from simcse_kit.encoder.modules import projection_head


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Encoder and training. The defaults were chosen after five runs with seed 1, scored on the held-out digits."""

    image_size: int = 32  # input size of the encoder in pixels; the digits (8 x 8) are enlarged
    widths: tuple[int, ...] = (32, 64, 128, 256)  # channels of the ResNet's stages; the last is the size of h
    epochs: int = 100
    batch_size: int = 256  # images per batch; the batch has twice as many views
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    temperature: float = 0.5  # as in nt_xent
    smallest_crop: float = 0.4  # part of the image's area

    def __post_init__(self) -> None:
        if self.temperature <= 0 or self.epochs < 1 or self.batch_size < 2 or not 0 < self.smallest_crop <= 1:
            raise TrainingError(
                "temperature must be above 0, epochs at least 1, batch_size at least 2, and smallest_crop above 0 "
                f"and at most 1; got {self.temperature}, {self.epochs}, {self.batch_size}, {self.smallest_crop}"
            )


class SimCLR(nn.Module):
    """Encoder f, a small ResNet, and projection head g, the same as for text."""

    def __init__(self, channels: int, settings: Settings) -> None:
        super().__init__()
        config = ResNetConfig(
            num_channels=channels,
            embedding_size=settings.widths[0],
            hidden_sizes=list(settings.widths),
            depths=[1] * len(settings.widths),
            layer_type="basic",
        )
        self.f = ResNetModel(config)
        self.g = projection_head(settings.widths[-1])
        self.size = settings.image_size

    def encode(self, pixels: Tensor) -> Tensor:
        """h: (B, C, H, W) -> (B, D)."""
        out: Tensor = self.f(pixel_values=pixels).pooler_output.flatten(1)
        return out

    def forward(self, pixels: Tensor) -> Tensor:
        """z = g(f(x)), the input of the loss: (B, C, H, W) -> (B, D)."""
        out: Tensor = self.g(self.encode(pixels))
        return out

    @torch.no_grad()
    def features(self, images: Images, *, batch_size: int = 256) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """h and z of every image without augmentation, both (N, D)."""
        self.eval()
        h = torch.cat([self.encode(enlarged(part, self.size)) for part in images.pixels.split(batch_size)])
        return h.numpy(), self.g(h).numpy()


class Trained(NamedTuple):
    """A trained encoder and the record of its training."""

    model: SimCLR
    losses: list[float]  # mean loss of each epoch
    steps: int
    seconds: float


def new_model(images: Images, settings: Settings, seed: int) -> SimCLR:
    """An untrained encoder and head."""
    torch.manual_seed(seed)
    return SimCLR(images.pixels.shape[1], settings)


def train(
    images: Images,
    settings: Settings,
    *,
    seed: int,
    flip: bool,
    progress: Callable[[int, float], None] = lambda epoch, loss: None,
) -> Trained:
    """Train on images without labels. ``progress`` is called with each epoch, from 1, and its mean loss."""
    began = time.perf_counter()
    model = new_model(images, settings, seed).train()
    augment = augmentations(
        settings.image_size, images.pixels.shape[1], flip=flip, smallest_crop=settings.smallest_crop
    )
    pixels = enlarged(images.pixels, settings.image_size)
    size = min(settings.batch_size, len(pixels))
    per_epoch = len(pixels) // size  # the last, smaller batch is dropped: it has fewer negatives
    steps = settings.epochs * per_epoch
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    warm = max(1, steps // 20)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warm, 0.5 * (1 + math.cos(math.pi * step / steps)))
    )
    losses = []
    for epoch in range(1, settings.epochs + 1):
        total = 0.0
        for rows in torch.randperm(len(pixels))[: per_epoch * size].split(size):
            first, second = two_views(pixels[rows], augment)
            z = model(torch.cat([first, second]))  # (2B, D): in one pass, so that batch normalisation uses all views
            loss = nt_xent(*z.chunk(2), temperature=settings.temperature)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        losses.append(total / per_epoch)
        progress(epoch, losses[-1])
    return Trained(model, losses, steps, time.perf_counter() - began)
