"""Processes that train together, over gloo on this machine's CPU."""

from __future__ import annotations

import io
import multiprocessing
import os
import socket
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import torch

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["simcse_kit.training.fit", "transformers.models.bert.modeling_bert"])


def on_ranks(size: int, work: Callable[..., Any], *arguments: Any) -> list[Any]:
    """What ``work(*arguments)`` returns on each of ``size`` ranks; a rank's error fails the test with its traceback."""
    port = _free_port()
    ends: list[Connection] = []
    processes = []
    for rank in range(size):
        mine, theirs = _context.Pipe(duplex=False)
        process = _context.Process(target=_rank, args=(theirs, rank, size, port, work, arguments))
        process.start()
        theirs.close()
        ends.append(mine)
        processes.append(process)
    found = []
    try:
        for end in ends:
            assert end.poll(120), "a rank does not answer"
            found.append(end.recv())
    finally:
        for process in processes:
            process.join(10)
            process.kill()
    errors = [value for good, value in found if not good]
    assert not errors, errors[0]
    return [torch.load(io.BytesIO(value), weights_only=False) for _, value in found]


def _rank(
    end: Connection, rank: int, size: int, port: int, work: Callable[..., Any], arguments: tuple[Any, ...]
) -> None:
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(size), "LOCAL_RANK": str(rank)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    from simcse_kit.distributed import end_process_group, join

    torch.set_num_threads(1)
    try:
        join(torch.device("cpu"))
        content = io.BytesIO()
        torch.save(work(*arguments), content)
        end.send((True, content.getvalue()))
        end_process_group()
    except BaseException:
        end.send((False, traceback.format_exc()))


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
