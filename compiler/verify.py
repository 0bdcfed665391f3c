"""Whether a bundle is what its manifest says: files, digest, and numbers when run again."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from voxc.compiler.bundle import Bundle
from voxc.compiler.core.errors import BundleError, MissingRuntimeError, TensorError
from voxc.compiler.core.fidelity import LEAST_FLOAT32_SNR_DB, max_abs_error, snr_db
from voxc.compiler.core.runner import Runner
from voxc.compiler.manifest import ComponentBuild
from voxc.compiler.runtime.component import load_component, run_component, runtime_of, threads_for
from voxc.compiler.runtime.fallback import load_fallback

# Integer sums are exact on every CPU. Floats before them are not, and may move an integer by a step.
INTEGER_ROUNDING_DB = 1.0


@dataclass(frozen=True)
class Check:
    """One thing that was looked at, and what was seen. `passed` is None for what this machine cannot tell."""

    what: str
    passed: bool | None
    seen: str


def verify_bundle(
    directory: Path, threads: int | None = None, report: Callable[[str], None] = lambda message: None
) -> list[Check]:
    """Every check of a bundle, the failed ones included.

    Raises:
        BundleError: there is no valid manifest to check against.
        MissingRuntimeError: the runtime that would run the reference inputs is not installed; with fallbacks, that is
            a failed check.
    """
    bundle = Bundle.open(directory)
    files = list(file_checks(bundle, report))
    runtime = runtime_of(bundle)
    checks = [
        *manifest_checks(bundle),
        Check("runtime", True, f"{runtime.description} (evidence: {runtime.evidence})"),
        *files,
    ]
    for component in bundle.manifest.build.components:
        if all(check.passed for check in files):
            report(f"running {component.name}")
            checks.append(rerun(bundle, component, threads))
        else:
            checks.append(Check(f"{component.name} rerun", False, "not run: the files are not those of the manifest"))
        if component.fallback:
            report(f"running {component.name} with PyTorch")
            checks.append(rerun_fallback(bundle, component, threads))
    return checks


def manifest_checks(bundle: Bundle) -> Iterator[Check]:
    manifest = bundle.manifest
    yield Check("schema", True, f"manifest version {manifest.schema_version}")
    yield Check("status", manifest.status == "passed", "; ".join(manifest.failures) or manifest.status)
    digest = manifest.build.digest()
    yield Check("build digest", digest == manifest.build_digest, digest)


def file_checks(bundle: Bundle, report: Callable[[str], None]) -> Iterator[Check]:
    for file in bundle.manifest.files():
        report(f"hashing {file.path}")
        complaint = bundle.complaint(file)
        yield Check(file.path, complaint is None, complaint or f"{file.bytes} bytes, SHA-256 as listed")


def rerun(bundle: Bundle, component: ComponentBuild, threads: int | None) -> Check:
    """The artifact on the reference inputs, against the outputs of float32 PyTorch that came with it.

    Integers have to come as near as they did where they were measured, whatever the CPU.
    """
    what = f"{component.name} rerun"
    bound = max(component.min_snr_db, least_of_integers(bundle, component))
    try:
        return compare(bundle, component, what, bound, lambda: load_component(bundle, component.name, threads))
    except MissingRuntimeError as error:
        if not component.fallback:
            raise
        return Check(what, False, str(error))


def least_of_integers(bundle: Bundle, component: ComponentBuild) -> float:
    """The SNR in dB that the integers of a component cannot fall below in the runtime that measured it; -inf where it
    has none, or another kind of runtime is here."""
    measured = bundle.manifest.measurements.components.get(component.name)
    snr = None if measured is None else measured.figures.get("snr")
    if "int8" not in component.precision_histogram or snr is None or snr.value is None:
        return -math.inf
    return snr.value - INTEGER_ROUNDING_DB if snr.evidence == runtime_of(bundle).evidence else -math.inf


def rerun_fallback(bundle: Bundle, component: ComponentBuild, threads: int | None) -> Check:
    """The same with PyTorch: whether it could take over, which mends nothing of the artifact."""
    what = f"{component.name} fallback"
    try:
        return compare(
            bundle, component, what, LEAST_FLOAT32_SNR_DB,
            lambda: load_fallback(bundle, component, threads_for(bundle, threads)),
        )  # fmt: skip
    except MissingRuntimeError as error:
        return Check(what, None, f"not run: {error}")


def compare(bundle: Bundle, component: ComponentBuild, what: str, bound: float, load: Callable[[], Runner]) -> Check:
    """What `load` gives on the reference inputs; `bound` in dB."""
    try:
        tensors = bundle.reference(component.name)
        names = {spec.name for spec in component.outputs}
        inputs = {name: array for name, array in tensors.items() if name not in names}
        outputs = run_component(load(), component, inputs)
        expected = {output.name: output.accept(tensors[output.name]) for output in component.outputs}
    except (BundleError, TensorError) as error:
        return Check(what, False, str(error))
    except KeyError as error:
        return Check(what, False, f"the reference file has no tensor {error}")
    snr = min(snr_db(array, outputs[name]) for name, array in expected.items())
    largest = max(max_abs_error(array, outputs[name]) for name, array in expected.items())
    return Check(what, snr >= bound, f"SNR {snr:.1f} dB (at least {bound:.4g}), max error {largest:.2g}")
