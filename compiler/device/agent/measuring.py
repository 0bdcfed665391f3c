"""One component: loaded, compared with its reference, timed."""

import time
from typing import Any, Dict

from voxc.compiler.device.agent.bundle import Bundle
from voxc.compiler.device.agent.comparison import compare
from voxc.compiler.device.agent.progress import Progress
from voxc.compiler.device.agent.runtime import PlacementError, Runtime
from voxc.compiler.device.agent.timing import time_runs


def measure_component(bundle: Bundle, runtime: Runtime, component: Dict[str, Any], options: Any) -> Dict[str, Any]:
    """A component's part of the document; `options` are those of the command line."""
    progress = Progress(component["name"])
    progress("checking files")
    main, *_ = [bundle.file(record) for record in component["files"]]
    result: Dict[str, Any] = {}
    if runtime.builds or options.command == "build":
        result["engine"] = runtime.build(bundle, component, options, progress)
    if options.command == "build":
        return result
    inputs = bundle.tensors(component, "inputs")
    progress("loading")
    started = time.perf_counter()
    run = runtime.load(main, component)
    result["load_s"] = time.perf_counter() - started
    if options.command in ("measure", "run"):
        progress("comparing")
        result.update(compare(bundle.tensors(component, "outputs"), run(inputs), component["min_snr_db"]))
    if options.command in ("measure", "bench"):
        result.update(time_runs(run, inputs, options.runs, options.seconds, options.warm_up, progress))
    try:
        result["placements"], result["cost_shares"] = runtime.placements(main)
    except PlacementError as error:
        result["no_placements"] = str(error)
    return result
