from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest

from voxc.backends import BACKENDS, backend_of, known_targets, read_targets
from voxc.backends.tflite.backend import TfliteBackend
from voxc.compiler.core.errors import PluginError, TargetError
from voxc.compiler.core.plugins import Plugins

GROUP = "voxc.test"


class Good:
    name = "good"


class Misnamed:
    name = "other"


def entry(name: str, value: str, package: str = "elsewhere") -> metadata.EntryPoint:
    class Distribution(metadata.PathDistribution):
        @property
        def name(self) -> str:
            return package

    return metadata.EntryPoint(name, value, GROUP)._for(Distribution(Path(package)))  # type: ignore[attr-defined]


def plugins(monkeypatch: pytest.MonkeyPatch, *entries: metadata.EntryPoint) -> Plugins[Good]:
    monkeypatch.setattr(metadata, "entry_points", lambda group: [each for each in entries if each.group == group])
    return Plugins(GROUP, Good)


def test_a_class_is_loaded_when_it_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    found = plugins(monkeypatch, entry("good", f"{__name__}:Good"), entry("broken", "no.such.module:Thing"))
    assert list(found) == ["good", "broken"]
    assert isinstance(found["good"], Good)
    assert found["good"] is found["good"]
    assert found.foreign == ["good", "broken"]


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ("no.such.module:Thing", "elsewhere: the entry point good = no.such.module:Thing .* cannot be imported"),
        (f"{__name__}:Missing", "cannot be imported"),
        (f"{__name__}:GROUP", "does not name a Good"),
        (f"{__name__}:Misnamed", "does not name a Good"),
    ],
)
def test_broken_plug_ins(monkeypatch: pytest.MonkeyPatch, value: str, complaint: str) -> None:
    with pytest.raises(PluginError, match=complaint):
        plugins(monkeypatch, entry("good", value))["good"]


def test_another_name_than_that_of_the_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PluginError, match="with another name"):
        plugins(monkeypatch, entry("better", f"{__name__}:Good"))["better"]


def test_two_packages_that_claim_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    found = plugins(monkeypatch, entry("good", "a:A", "first"), entry("good", "b:B", "second"))
    with pytest.raises(PluginError, match=r"both first \(a:A\) and second \(b:B\) bring 'good'"):
        list(found)


def test_our_own_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    found = plugins(monkeypatch, entry("theirs", "a:A"), entry("ours", "b:B", "voxc"))
    assert list(found) == ["ours", "theirs"]
    assert found.foreign == ["theirs"]


def test_targets_of_plug_ins_join_ours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = Path(__file__).parents[3].joinpath("targets.yaml").read_text()
    file = tmp_path / "targets.yaml"
    file.write_text(text.replace("onnxruntime-cpu:", "borrowed:"))

    class Borrower(TfliteBackend):
        name = "borrower"
        targets_file = file

    monkeypatch.setitem(BACKENDS, "borrower", Borrower())
    monkeypatch.setattr(Plugins, "foreign", ["borrower"])
    with pytest.raises(TargetError, match=f"{file}: target 'onnxruntime-cuda' is also in .*targets.yaml"):
        read_targets.__wrapped__()


def test_options_of_our_targets_are_those_of_their_backends() -> None:
    for target in known_targets().values():
        BACKENDS[target.backend].on(target.options)
    with pytest.raises(TargetError, match="tflite: options: provider: Extra inputs"):
        BACKENDS["tflite"].on({"provider": "x"})


def test_a_wrong_option_names_the_file_and_the_target() -> None:
    wrong = known_targets()["tflite-int8"].model_copy(update={"options": {"provider": "x"}})
    with pytest.raises(TargetError, match=r"targets\.yaml: target 'tflite-int8': tflite: options: provider: Extra"):
        backend_of(wrong)
