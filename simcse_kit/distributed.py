"""Distributed training: joining processes, and gathering rows with exact gradients."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from simcse_kit.launch import world


def active() -> bool:
    """Whether this process trains with others."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def join(device: torch.device) -> None:
    """Join the processes that ``torchrun`` started, over gloo on the CPU and nccl on CUDA. A single process does
    nothing.
    """
    if world().size > 1 and not dist.is_initialized():
        if device.type == "cuda":
            torch.cuda.set_device(device)
        dist.init_process_group("cuda:nccl,cpu:gloo" if device.type == "cuda" else "gloo")
    barrier()


def end_process_group() -> None:
    """Leave the group of processes."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


class _Gather(torch.autograd.Function):
    """All-gather along the first dimension. The backward pass is its adjoint: gradients are summed over ranks, and each
    rank takes its own rows. (``torch.distributed.nn.functional.all_gather`` is deprecated.)
    """

    @staticmethod
    def forward(ctx: Any, local: Tensor, counts: list[int]) -> Tensor:
        ctx.counts = counts
        return _all_gather(local, counts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        gradient = gradients[0].contiguous()
        dist.all_reduce(gradient)
        start = sum(ctx.counts[: dist.get_rank()])
        return gradient[start : start + ctx.counts[dist.get_rank()]], None


def row_counts(count: int) -> list[int] | None:
    """Rows of each rank, to share between several calls of `gather`; None for a single process.

    Uses gloo, so that no rank waits for an accelerator.
    """
    if not active():
        return None
    counts = torch.zeros(dist.get_world_size(), dtype=torch.int64)
    counts[dist.get_rank()] = count
    dist.all_reduce(counts)
    return counts.tolist()


def gather(local: Tensor, counts: list[int] | None = None) -> Tensor:
    """Rows of all ranks, in rank order: (b, ...) -> (B, ...). B is the sum of each rank's b, which may differ.

    Gradients are exact: if each rank's loss is a function of all rows and gradients of parameters are averaged over
    ranks, as DDP does, the result is the gradient of the mean loss over ranks. A single process gets its own rows.
    ``counts``: the `row_counts` of the ranks, if known.
    """
    counts = counts or row_counts(len(local))
    if counts is None:
        return local
    if not local.requires_grad:
        return _all_gather(local, counts)
    return _Gather.apply(local, counts)  # type: ignore[no-any-return, no-untyped-call]


def _all_gather(local: Tensor, counts: list[int]) -> Tensor:
    widest = max(counts)
    padded = local.new_zeros((widest, *local.shape[1:]))
    padded[: len(local)] = local
    parts = [torch.empty_like(padded) for _ in counts]
    dist.all_gather(parts, padded)
    return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])


def from_first(value: Any) -> Any:
    """Rank 0's ``value`` on every rank."""
    if not active():
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def any_rank(flag: bool) -> bool:
    """Whether the flag is set on any rank; every rank gets the same answer."""
    if not active():
        return flag
    found = torch.tensor([int(flag)])
    dist.all_reduce(found, op=dist.ReduceOp.MAX)
    return bool(found)


def total(count: int) -> int:
    """The sum of the counts of all ranks."""
    if not active():
        return count
    found = torch.tensor([count])
    dist.all_reduce(found)
    return int(found)


def barrier() -> None:
    """Wait for all ranks."""
    if active():
        dist.barrier()
