"""What commands print."""

from __future__ import annotations

import json
import sys
from typing import Any

from voxc.compiler.core.stderr import print_line
from voxc.compiler.core.text import visible


def complain(error: object) -> None:
    say("error", error)


def warn(message: str) -> None:
    say("warning", message)


def say(kind: str, message: object) -> None:
    """One line on stderr, in which text from files neither styles nor controls the terminal."""
    print_line(f"voxc: {kind}: {visible(str(message))}")


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
        say("note", f"run by {runtime.description}, not by a runtime of {bundle.manifest.build.target.name}")
    return runtime.description


def describe(facts: Any) -> str:
    return ", ".join(f"{name} {value}" for name, value in facts.items())


def print_json(document: object) -> None:
    in_unicode = (sys.stdout.encoding or "").lower().startswith("utf")
    print(json.dumps(document, indent=2, ensure_ascii=not in_unicode))
