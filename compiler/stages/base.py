"""What a stage is: it changes the programs of a model, whatever the target."""

from __future__ import annotations

import inspect
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import ClassVar

import torch

from voxc.compiler.cache.keys import digest
from voxc.compiler.stages.work import Part, StageRecord, Work

Report = Callable[[str], None]


@dataclass(frozen=True)
class Stage(ABC):
    """One change of a model's programs, such as pruning, or training after it. Its fields are its options; what it
    does depends on them and on the work alone, seeds included.

    The reference stays that of the unchanged model: a bundle tells how far its artifacts are from the changed network,
    and how far that is from the unchanged one.
    """

    name: ClassVar[str]

    def __call__(self, work: Work, report: Report) -> Work:
        """The work after the stage, with its record.

        Raises:
            VoxcError: see the stage.
        """
        report(f"{self.name}")
        started = time.perf_counter()
        changed, notes = self.run(work, report)
        parts = tuple(
            part if part.program is before.program else self.evaluated(part)
            for part, before in zip(changed.parts, work.parts, strict=True)
        )
        record = StageRecord(self.name, asdict(self), notes, time.perf_counter() - started)
        return replace(changed, parts=parts, records=(*work.records, record))

    @abstractmethod
    def run(self, work: Work, report: Report) -> tuple[Work, tuple[str, ...]]:
        """The work with changed programs, and notes for people."""

    def evaluated(self, part: Part) -> Part:
        """A part whose program was changed: what it makes of the reference inputs, and the key of what it is now."""
        tensors = {name: torch.from_numpy(array) for name, array in part.inputs.items()}
        outputs = {name: tensor.numpy() for name, tensor in part.program.run(tensors).items()}
        key = None if part.key is None else digest(part.key, self.name, self, Path(inspect.getfile(type(self))))
        return replace(part, changed=outputs, lengths=tuple(map(self.evaluated, part.lengths)), key=key)
