"""Data parallelism over single-threaded processes: on a busy machine faster than threads that wait for each other."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch import distributed, multiprocessing, nn


def run_workers(work: Callable[[int, Path], None], directory: Path, workers: int) -> None:
    """Calls work(rank, directory) in `workers` processes that can average their gradients."""
    with tempfile.TemporaryDirectory() as scratch:
        multiprocessing.spawn(start, (work, directory, workers, Path(scratch) / "meeting"), nprocs=workers)


def start(rank: int, work: Callable[[int, Path], None], directory: Path, workers: int, meeting: Path) -> None:
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=workers)
    torch.manual_seed(rank)
    work(rank, directory)
    distributed.destroy_process_group()


def share_weights(module: nn.Module) -> None:
    """Gives every worker the first one's parameters."""
    for tensor in module.state_dict().values():
        distributed.broadcast(tensor, 0)


def average_gradients(parameters: Iterable[nn.Parameter], most: float) -> None:
    """Averages over the workers, then limits the norm; a gradient that is not finite is dropped everywhere."""
    found = [parameter for parameter in parameters if parameter.grad is not None]
    flat = torch.cat([parameter.grad.reshape(-1) for parameter in found])
    distributed.all_reduce(flat)
    flat /= distributed.get_world_size()
    norm = flat.norm()
    flat = flat * (most / norm).clamp(max=1.0) if torch.isfinite(norm) else torch.zeros_like(flat)
    for parameter, gradient in zip(found, flat.split([parameter.numel() for parameter in found]), strict=True):
        parameter.grad.copy_(gradient.view_as(parameter))
