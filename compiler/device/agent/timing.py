"""How long runs take."""

import time
from typing import Any, Dict, List

from voxc.compiler.device.agent.bundle import Arrays
from voxc.compiler.device.agent.progress import Progress
from voxc.compiler.device.agent.runtime import Run


def time_runs(run: Run, inputs: Arrays, runs: int, seconds: float, warm_up: int, progress: Progress) -> Dict[str, Any]:
    """Percentiles in ms of `runs` runs, or of as many as begin in `seconds`, but at least one."""
    import numpy as np

    for index in range(warm_up):
        progress(f"warming up, run {index + 1}")
        run(inputs)
    taken: List[float] = []
    while len(taken) < runs and (not taken or sum(taken) < seconds):
        progress(f"timing, run {len(taken) + 1}")
        started = time.perf_counter()
        run(inputs)
        taken.append(time.perf_counter() - started)
    named = {"median": 50, "p90": 90, "p99": 99, "min": 0}
    latency = {name: float(np.percentile(taken, at) * 1e3) for name, at in named.items()}
    return {"latency_ms": latency, "runs": len(taken), "warm_up": warm_up}
