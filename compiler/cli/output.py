"""What commands print."""

from __future__ import annotations

import json
import sys
from typing import Any

from voxc.compiler.core.harmless import one_line


def tell(kind: str, message: object) -> None:
    """A line on stderr that begins with `voxc: error:` or the like; text from files in it is made harmless."""
    print(f"voxc: {kind}: {one_line(message)}", file=sys.stderr)


def warn(message: str) -> None:
    tell("warning", message)


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
        tell("note", f"run by {runtime.description}, not by a runtime of {bundle.manifest.build.target.name}")
    return runtime.description


def describe(facts: Any) -> str:
    return ", ".join(f"{name} {value}" for name, value in facts.items())


def print_json(document: object) -> None:
    """What does not print is escaped as JSON has it."""
    text = json.dumps(document, indent=2, ensure_ascii=False)
    print("".join(each if each.isprintable() or each == "\n" else json.dumps(each)[1:-1] for each in text))
