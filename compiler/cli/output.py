"""What commands print."""

from __future__ import annotations

import json
import sys
from typing import Any


def warn(message: str) -> None:
    print(f"voxc: warning: {message}", file=sys.stderr)


def standing_by() -> Any:
    """Fallbacks of a bundle's components, whose use is said on stderr."""
    from voxc.compiler.runtime.fallback import Fallbacks

    return Fallbacks(warn)


def tell_runtime(bundle: Any, components: list[str], fallbacks: Any) -> str:
    """What runs the artifacts of a bundle's components here, or PyTorch if it runs all of them; said on stderr where it
    is not the target's own runtime."""
    from voxc.compiler.runtime.component import runtime_of

    if fallbacks.reasons.keys() >= set(components):
        from importlib.metadata import version

        return f"PyTorch {version('torch')}"
    runtime = runtime_of(bundle)
    if runtime.evidence == "reference":
        print(f"voxc: note: run by {runtime.description}, not by a runtime of {bundle.manifest.build.target.name}",
              file=sys.stderr)  # fmt: skip
    return runtime.description


def describe(facts: Any) -> str:
    return ", ".join(f"{name} {value}" for name, value in facts.items())


def print_json(document: object) -> None:
    print(json.dumps(document, indent=2, ensure_ascii=False))
