"""SIGKILL at random moments of a work that fills the cache: what is left, and whether the next run can use it.

    python benchmarks/kills.py [--runs 50] [--seed 0] [--compile VOICE]

The work is a process that writes and reads entries of 1 MB in a small cache; with `--compile` it is a whole compile of
VOICE. All runs share one cache. Exits with 1 unless after every kill

- a process that opens the cache finds whole entries alone: every digest is right, and nothing else is there,
- and in the end a run that is not killed succeeds, and leaves nothing beside its result; a compile gives the same
  artifacts as one without a cache.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from voxc.compiler.cache.store import PARTIAL_PREFIX, Store
from voxc.compiler.core.digest import sha256_of_file

WRITER = """
import sys
from pathlib import Path
from voxc.compiler.cache.store import Store
store = Store(Path(sys.argv[1]), limit_bytes=64 << 20)
for number in range(300):
    key = str(number % 100)
    content = key.encode() * ((1 << 20) // len(key))
    def save(folder):
        for name in "abcd":
            (folder / name).write_bytes(content[: len(content) // 4])
    store.get("kind", key, lambda: None, lambda made, folder: save(folder), lambda folder: folder)
"""
MANIFESTS = {"manifest.json"}  # they have times


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--compile", type=Path, metavar="VOICE")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        return kill_all(Path(name), options.compile, options.runs, random.Random(options.seed))


def kill_all(folder: Path, voice: Path | None, runs: int, chance: random.Random) -> int:
    cache, results = folder / "cache", folder / "results"
    results.mkdir()
    expected, seconds = reference(voice, folder)
    outcomes: Counter[str] = Counter()
    for number in range(runs):
        moment = chance.uniform(0, seconds)
        killed = kill(command(voice, cache, results / "result"), moment)
        entries, wrong = inspect(cache)
        outcome = ", ".join([killed, *wrong])
        outcomes[outcome] += 1
        print(f"{number + 1:3} at {moment:6.3f} s: {outcome}; {entries} entries", flush=True)
    last = subprocess.run(command(voice, cache, results / "result"), capture_output=True, text=True, check=False)
    entries, wrong = inspect(cache)
    if last.returncode:
        wrong.append(f"the last run failed: {last.stderr}")
    if voice is not None:
        wrong += [f"left: {path.name}" for path in results.iterdir() if path.name != "result"]
        wrong += ["other artifacts than without a cache"] * (digests(results / "result") != expected)
    print(f"{dict(outcomes)}; then {', '.join(wrong) or 'a whole run'}, {entries} entries")
    return int(bool(wrong) or any(outcome not in ("killed", "over already") for outcome in outcomes))


def command(voice: Path | None, cache: Path | None, result: Path) -> list[str]:
    if voice is None:
        return [sys.executable, "-c", WRITER, str(cache)]
    place = ["--no-cache"] if cache is None else ["--cache", str(cache)]
    work = ["compile", str(voice), "--target", "onnxruntime-cpu", "--frames", "50", "--output", str(result)]
    return [sys.executable, "-m", "voxc.compiler", *work, *place]


def reference(voice: Path | None, folder: Path) -> tuple[dict[str, str], float]:
    """The artifacts of a run that is not killed, and its seconds."""
    cache = None if voice else folder / "other-cache"
    started = time.monotonic()
    subprocess.run(command(voice, cache, folder / "reference"), check=True, capture_output=True)
    return digests(folder / "reference"), time.monotonic() - started


def kill(arguments: list[str], moment: float) -> str:
    """Starts a process group, and kills all of it."""
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    time.sleep(moment)
    over = process.poll() is not None
    if not over:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return "over already" if over else "killed"


def inspect(cache: Path) -> tuple[int, list[str]]:
    """How many entries a new process finds, and what is wrong with them."""
    wrong: list[str] = []
    store = Store(cache, warn=wrong.append)
    places = list(store.places())
    for place in places:
        if store.read(place.parent.name, place.name, lambda folder: True) is None:
            wrong.append(f"{place.name} cannot be read")
    left = [path.name for path in cache.iterdir() if path.name.startswith(PARTIAL_PREFIX)] if cache.exists() else []
    return len(places), wrong + [f"left: {name}" for name in left]


def digests(bundle: Path) -> dict[str, str]:
    files = (path for path in bundle.rglob("*") if path.is_file() and path.name not in MANIFESTS)
    return {path.relative_to(bundle).as_posix(): sha256_of_file(path) for path in files}


if __name__ == "__main__":
    sys.exit(main())
