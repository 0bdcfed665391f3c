"""One component of a bundle in its runtime: raw tensors in, raw tensors out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from voxc.backends import find_backend
from voxc.backends.base import Backend
from voxc.compiler.bundle import Bundle, component_tensors
from voxc.compiler.core.errors import BundleError, MissingRuntimeError
from voxc.compiler.core.machine import usable_cores
from voxc.compiler.core.runner import Runner, Runtime
from voxc.compiler.core.tensor import Array, accept_inputs, read_npz, write_npz
from voxc.compiler.manifest import ComponentBuild
from voxc.compiler.runtime.fallback import Fallbacks, backed, load_fallback


def load_component(bundle: Bundle, name: str, threads: int | None = None) -> Runner:
    """The runner of a component whose files are those of the manifest.

    Raises:
        BundleError: there is no such component, or its files are not those that the manifest lists.
        MissingRuntimeError: the runtime is not installed.
    """
    component = bundle.manifest.component(name)
    complaints = [complaint for file in component.files if (complaint := bundle.complaint(file))]
    if complaints:
        raise BundleError(complaints[0])
    backend = backend_of(bundle)
    backend.require(backend.run_needs, f"run {component.format} files")
    try:
        return backend.load(bundle.path(component.files[0]), threads_for(bundle, threads))
    except ImportError as error:
        raise MissingRuntimeError(f"{backend.name}: what runs {component.format} files is broken: {error}") from error


def load_backed(bundle: Bundle, name: str, threads: int | None, fallbacks: Fallbacks | None) -> Runner:
    """The same, with the component's fallback behind it, if there is one and `fallbacks` are wanted.

    Raises:
        VoxcError: see `load_component`; neither the artifact nor a fallback can be loaded.
    """
    component = bundle.manifest.component(name)
    if fallbacks is None or not component.fallback:
        return load_component(bundle, name, threads)
    return backed(
        name,
        lambda: load_component(bundle, name, threads),
        lambda: load_fallback(bundle, component, threads_for(bundle, threads)),
        fallbacks,
    )


def threads_for(bundle: Bundle, asked: int | None) -> int:
    """What is asked for, or else what the target has; of either no more than this machine has cores."""
    cores = usable_cores()
    return min(asked or bundle.manifest.build.target.threads or cores, cores)


def backend_of(bundle: Bundle) -> Backend:
    """The backend of a bundle's target, by the options that the target had."""
    target = bundle.manifest.build.target
    options = target.capabilities.get("options") or {}
    assert isinstance(options, dict)
    return find_backend(target.backend).on(options)


def runtime_of(bundle: Bundle) -> Runtime:
    """What runs a bundle's components on this machine."""
    return backend_of(bundle).runtime()


def run_component(runner: Runner, component: ComponentBuild, tensors: Mapping[str, Array]) -> dict[str, Array]:
    """Outputs for inputs by the names of the specs, cast where nothing is lost.

    Raises:
        TensorError: a tensor is missing, unknown or does not fit.
    """
    return runner.run(accept_inputs(component.inputs, tensors))


def run_file(
    directory: Path,
    name: str,
    inputs: Path,
    outputs: Path,
    threads: int | None = None,
    fallbacks: Fallbacks | None = None,
) -> dict[str, Array]:
    """Runs a component on the tensors of an NPZ file and writes its outputs to another.

    Keys are tensor names, or `component/tensor`; outputs that stand among the inputs, as in a bundle's reference file,
    are left alone.

    Raises:
        VoxcError: see `load_backed`, `run_component`, `read_npz` and `write_npz`.
    """
    bundle = Bundle.open(directory)
    component = bundle.manifest.component(name)
    tensors = component_tensors(read_npz(inputs), name)
    given = {key: tensors[key] for key in tensors if key not in {spec.name for spec in component.outputs}}
    runner = load_backed(bundle, name, threads, fallbacks)
    if fallbacks is not None:
        fallbacks.tell()
    found = run_component(runner, component, given)
    write_npz(outputs, found)
    return found
