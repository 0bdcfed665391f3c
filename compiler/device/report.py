"""What the agent answers: the document, or why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from voxc.compiler.core import device_errors
from voxc.compiler.core.errors import BundleError, DeviceError, MissingRuntimeError, RecipeError, VoxcError
from voxc.compiler.core.machine import Machine
from voxc.compiler.device.process import Outcome, printable
from voxc.compiler.device.protocol import FAILED, PASSED
from voxc.compiler.manifest import Sha256

NOT_FOUND = (126, 127)  # how a shell says that there is no such program, or that it may not run
LOST = 255  # how ssh says that the connection broke
SIGNALLED = 128  # a shell's status for a program that a signal ended is this and the signal
KILLED = 9

KINDS: dict[str, type[VoxcError]] = {
    device_errors.MissingError.kind: MissingRuntimeError,
    device_errors.BundleError.kind: BundleError,
    device_errors.SettingError.kind: RecipeError,
}


class Answer(BaseModel):
    """What an agent says may grow: unknown keys are passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class Latency(Answer):
    """Wall-clock ms of single runs."""

    median: float
    p90: float
    p99: float
    min: float


class EngineReport(Answer):
    """The engine that was run, and what it was built with. One that was built in this run has `build_s` and
    `workspace_mib`."""

    bytes: int = Field(gt=0)
    sha256: Sha256
    tensorrt: str
    gpu: str
    compute_capability: str
    build_s: float | None = None
    workspace_mib: int | None = None


class ComponentReport(Answer):
    """One component: see `compare` and `time_runs` of the agent. `cost_shares` are of MLComputePlan's estimate, and
    `no_placements` says why there are none."""

    load_s: float
    snr_db: float | None
    max_abs_error: float | None
    mean_abs_error: float | None
    passed: bool
    latency_ms: Latency
    runs: int
    warm_up: int
    placements: Mapping[str, str] = {}
    cost_shares: Mapping[str, float] = {}
    no_placements: str = ""
    engine: EngineReport | None = None


class AgentReport(Answer):
    agent: Literal[1]
    host: str
    machine: Machine
    runtime: Mapping[str, str]
    settings: Mapping[str, str | int]
    conditions: Mapping[str, str]
    peak_memory_mib: float
    components: Mapping[str, ComponentReport] = Field(min_length=1)


class Complaint(Answer):
    kind: str
    message: str


class Refusal(Answer):
    """What the agent says when it cannot work."""

    error: Complaint


def read_answer(outcome: Outcome, device: str, python: str) -> AgentReport:
    """The document of an agent that `python` ran on `device`.

    Raises:
        MissingRuntimeError: the device lacks Python, NumPy or the runtime.
        BundleError, RecipeError: the agent cannot use the bundle or a setting.
        DeviceError: the agent or the connection died, or what came is not a document.
    """
    text = outcome.stdout.strip().rpartition("\n")[2]  # a login shell may have printed before
    try:
        if outcome.code in (PASSED, FAILED) and text:
            return AgentReport.model_validate_json(text)
        complaint = Refusal.model_validate_json(text).error
    except ValidationError:
        raise no_document(outcome, device, python) from None
    raise KINDS.get(complaint.kind, DeviceError)(f"{device}: {printable(complaint.message)}")


def no_document(outcome: Outcome, device: str, python: str) -> VoxcError:
    """What became of an agent that said nothing."""
    last = outcome.said[-1] if outcome.said else "it said nothing"
    if outcome.code in NOT_FOUND:
        return MissingRuntimeError(f"{device}: cannot run {python} ({last}); name another Python with --python")
    if outcome.code == LOST:
        return DeviceError(f"{device}: the connection broke at '{outcome.step}' ({last})")
    signal = -outcome.code if outcome.code < 0 else outcome.code - SIGNALLED
    if signal > 0:
        why = ", perhaps because memory ran out" if signal == KILLED else ""
        return DeviceError(f"{device}: the agent was killed by signal {signal} at '{outcome.step}'{why}")
    if outcome.code in (PASSED, FAILED) and outcome.stdout.strip():
        return DeviceError(f"{device}: what came back is not the agent's document")
    return DeviceError(f"{device}: the agent failed at '{outcome.step}': {last}")
