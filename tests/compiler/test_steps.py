from __future__ import annotations

from pathlib import Path

from voxc.compiler.core.target import Target
from voxc.compiler.driver import compile_model
from voxc.compiler.request import Request
from voxc.compiler.steps import Steps


def test_messages_have_their_number_once_there_is_a_plan() -> None:
    said: list[str] = []
    steps = Steps()
    report = steps.numbered(said.append)
    report("loading")
    steps.plan(targets=2, components=1, converts=True)
    steps.next_target()
    steps.next()
    report("a: passes")
    steps.next_target()  # the rest of the first was left out
    report("exporting")
    for _ in range(9):
        steps.next()
    report("b: converting")
    assert said == ["loading", "[1/10] a: passes", "[5/10] exporting", "[10/10] b: converting"]


def test_a_compile_counts_to_the_end(speaking_voice: Path, tmp_path: Path, target: Target) -> None:
    said: list[str] = []
    board = target.model_copy(update={"name": "board", "machine": "board"})
    compile_model(Request(speaking_voice, (board, target), tmp_path, frames=50, threads=1), said.append)
    counted = [message.partition("] ")[0].strip("[") for message in said if message.startswith("[")]
    numbers = [int(count.partition("/")[0]) for count in counted]
    assert numbers == sorted(numbers)
    assert sorted(set(numbers)) == list(range(numbers[-1] + 1))  # none is left out
    (total,) = {int(count.partition("/")[2]) for count in counted}
    assert numbers[-1] == total
    assert said[-1].endswith(f"[{total}/{total}] onnxruntime-cpu: converting {said[-1].rpartition(' ')[2]}")
