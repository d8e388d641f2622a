"""Two random views of each image, the positive pairs of SimCLR (Chen et al., 2020, section 3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from simcse_kit.errors import require_extra


def enlarged(pixels: Tensor, size: int) -> Tensor:
    """Resize images to the input size of the encoder: (B, C, H, W) -> (B, C, size, size)."""
    if pixels.shape[-1] == size:
        return pixels
    return nn.functional.interpolate(pixels, size=(size, size), mode="bicubic", antialias=False).clamp(0, 1)


def augmentations(size: int, channels: int, *, flip: bool, smallest_crop: float = 0.4) -> nn.Module:
    """A module that makes one view of each image: (B, C, size, size) -> the same shape.

    The steps, from kornia (extra ``images``): a small rotation; a random crop of at least ``smallest_crop`` of the
    area, resized back; mirroring if ``flip``; jitter of the colours, or of brightness and contrast with one channel;
    blur.
    """
    require_extra("images", ["kornia"], "Augmenting images")
    import kornia.augmentation as K

    steps: list[nn.Module] = [
        K.RandomRotation(15.0, p=0.8),
        K.RandomResizedCrop((size, size), scale=(smallest_crop, 1.0), ratio=(0.75, 4 / 3), cropping_mode="resample"),
    ]
    if flip:
        steps.append(K.RandomHorizontalFlip(p=0.5))
    if channels == 3:
        steps += [K.ColorJitter(0.4, 0.4, 0.4, 0.1, p=0.8), K.RandomGrayscale(p=0.2)]
    else:
        steps += [K.RandomBrightness((0.6, 1.4), p=0.8), K.RandomContrast((0.6, 1.4), p=0.8)]
    steps.append(K.RandomGaussianBlur((3, 3), (0.1, 2.0), p=0.5))
    return nn.Sequential(*steps)


def two_views(pixels: Tensor, augment: nn.Module) -> tuple[Tensor, Tensor]:
    """Two independent views of each of B images, both in the same shape: (B, C, H, W)."""
    with torch.no_grad():
        first, second = augment(torch.cat([pixels, pixels])).chunk(2)
    return first, second
