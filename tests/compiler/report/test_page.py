from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from voxc.compiler.audio.write import write_sound
from voxc.compiler.bundle import Bundle
from voxc.compiler.core.errors import BundleError, MissingRuntimeError, OutputError, RecipeError
from voxc.compiler.core.figure import Figure
from voxc.compiler.manifest import MANIFEST_NAME, Conversion, FileRecord, read_manifest
from voxc.compiler.report import needs
from voxc.compiler.report.page import write_report
from voxc.compiler.report.table import COLUMNS, row

HOSTILE = "<script>alert('\"x\"')</script>"
RATE = 16_000
HERTZ = {"source": 120.0, "target": 220.0, "float32": 240.0, "converted": 240.0}
VOID = {"meta", "img", "br", "path", "line", "circle"}


class Page(HTMLParser):
    """The elements of a page, its text, and whether what was opened was closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text = f"{self.text} {' '.join(data.split())}"

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]


def number(value: float, unit: str, how: str = "measured so") -> Figure:
    return Figure(value=value, unit=unit, evidence="host", how=how)


def tone(hertz: float, seconds: float = 1.0) -> np.ndarray:
    """With harmonics, as a voice has them."""
    times = np.arange(round(seconds * RATE)) / RATE
    return sum(0.1 / n * np.sin(2 * np.pi * hertz * n * times) for n in range(1, 6)).astype(np.float32)


def speaking(compiled: Path, place: Path) -> Path:
    """A copy of a bundle with the conversion of a tone."""
    shutil.copytree(compiled, place)
    (place / "audio").mkdir()
    audio = {}
    for role, hertz in HERTZ.items():
        path = place / "audio" / f"{role}.flac"
        write_sound(path, [tone(hertz)], RATE, RATE)
        audio[role] = FileRecord.of(place, path)
    conversion = Conversion(
        sample="sample.wav",
        options={"speaker": 1, "transpose": 12.0},
        fidelity={"snr": number(55.5, "dB"), "stoi": number(0.97, "STOI")},
        task={
            "secs": number(0.82, "cosine", "by an encoder of voices"),
            "f0_correlation": Figure(value=None, unit="Pearson", evidence=None, how="a pitch that does not move"),
        },
        steps={
            **{
                name: number(seconds, "s")
                for name, seconds in {"content": 0.1, "synthesizer": 0.25, "f0": 0.15}.items()
            },
            "real_time_factor": number(0.5, "x"),
        },
        audio=audio,
    )

    def add(document: dict[str, Any]) -> None:
        document["measurements"]["conversion"] = conversion.model_dump(mode="json")
        document["build"]["recipe"]["gates"] = ["task.secs>=0.9", "fidelity.stoi>=0.9", "task.f0_correlation>=0.8"]

    change(place, add)
    return place


def change(place: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    document = json.loads((place / MANIFEST_NAME).read_text())
    edit(document)
    (place / MANIFEST_NAME).write_text(json.dumps(document))


@pytest.fixture
def bundle(compiled: Path, tmp_path: Path) -> Path:
    return speaking(compiled, tmp_path / "bundle")


@pytest.fixture
def report(tmp_path: Path) -> Callable[..., Page]:
    def make(*bundles: Path) -> Page:
        output = tmp_path / "report.html"
        write_report(bundles, output)
        return Page(output.read_text(encoding="utf-8"))

    return make


def test_the_page_needs_nothing_else(bundle: Path, report: Callable[..., Page]) -> None:
    page = report(bundle)
    assert not page.all("script")
    assert not page.all("link")
    for _, attributes in page.elements:
        for name in ("src", "href", "srcset", "poster", "data"):
            assert attributes.get(name, "data:").startswith("data:")
    assert all("url(" not in attributes.get("style", "") for _, attributes in page.elements)


def test_it_lets_every_sound_be_heard_and_seen(bundle: Path, report: Callable[..., Page]) -> None:
    page = report(bundle)
    assert len(page.all("audio")) == len(page.all("img")) == len(HERTZ)
    assert len([svg for svg in page.all("svg") if svg["aria-label"].startswith("Pitch of")]) == len(HERTZ)
    assert all(player["src"].startswith("data:audio/flac;base64,ZkxhQ") for player in page.all("audio"))  # fLaC
    assert "median pitch 120 Hz" in page.text
    assert "median pitch 240 Hz" in page.text


def test_the_source_an_octave_up_lies_on_what_follows_it(bundle: Path, report: Callable[..., Page]) -> None:
    page = report(bundle)
    guides = [index for index, path in enumerate(page.all("path")) if path.get("class") == "guide"]
    assert len(guides) == 2  # float32 and converted
    heights = [
        [float(y) for y in re.findall(r",([\d.]+)", page.all("path")[index]["d"])]
        for index in (guides[0], guides[0] + 1)
    ]
    assert np.allclose(heights[0], heights[1], atol=0.5)


def test_numbers_tell_how_they_were_obtained(bundle: Path, report: Callable[..., Page]) -> None:
    page = report(bundle)
    titles = [attributes["title"] for attributes in page.all("span") if "title" in attributes]
    assert "by an encoder of voices" in titles
    assert any(attributes.get("class") == "badge host" for attributes in page.all("span"))
    assert "0.82" in page.text
    assert "good" in page.text


def test_missing_numbers_tell_their_reason_once(bundle: Path, report: Callable[..., Page]) -> None:
    def remove(document: dict[str, Any]) -> None:
        missing = {"value": None, "evidence": None, "how": "no such device here"}
        figures = document["measurements"]["components"]["synthesizer"]["figures"]
        for name in ("latency_median", "speedup"):
            figures[name].update(missing)
        document["measurements"]["conversion"]["steps"]["real_time_factor"].update(missing)

    change(bundle, remove)
    text = report(bundle).text
    results = text[text.index("Results") : text.index("Point at a number")]
    assert "1 no such device here" in results
    assert results.count("no such device here") == 1
    assert "a pitch that does not move" in results
    assert "latency_median, speedup" in text


def drawn(page: Page) -> dict[str, list[dict[str, str]]]:
    """The bundles of the pictures, by target."""
    points: dict[str, list[dict[str, str]]] = {}
    for attributes in page.all("g"):
        points.setdefault(attributes["data-target"], []).append(attributes)
    return points


def test_the_picture_says_what_the_table_says(
    bundle: Path, compiled: Path, tmp_path: Path, report: Callable[..., Page]
) -> None:
    other = speaking(compiled, tmp_path / "other")

    def estimate(document: dict[str, Any]) -> None:
        document["build"]["target"]["name"] = "a-board"
        figures = document["measurements"]["components"]["synthesizer"]["figures"]
        figures["latency_median"].update(value=None, evidence=None)
        figures["latency_estimate"] = {"value": 12.5, "unit": "ms", "evidence": "estimate", "how": "roofline"}

    change(other, estimate)
    page = report(bundle, other)
    points = drawn(page)
    for label, place in (("onnxruntime-cpu", bundle), ("a-board", other)):
        cells = dict(zip(COLUMNS, row(label, Bundle.open(place)), strict=True))
        assert len(points[label]) == 2  # one for wide screens, one for phones
        for point in points[label]:
            assert point["data-latency"] == cells["latency"].text
            assert point["data-snr"] == cells["SNR"].text
            assert point["data-size"] == cells["size"].text
            assert f" {point['data-latency']} " in page.text
    assert points["a-board"][0]["data-latency"] == "12.5 ms"
    assert points["a-board"][0]["class"] == "bundle estimate"
    assert "a-board: 12.5 ms, estimated, 55.5 dB" in page.text


def test_the_time_is_split(bundle: Path, report: Callable[..., Page]) -> None:
    page = report(bundle)
    assert "synthesizer 50.0 %" in page.text
    assert "This voice has no index" in page.text


def test_the_share_of_retrieval_is_spelled_out(bundle: Path, report: Callable[..., Page]) -> None:
    def add(document: dict[str, Any]) -> None:
        step = document["measurements"]["conversion"]["steps"]["f0"]
        document["measurements"]["conversion"]["steps"]["retrieval"] = step | {"value": 0.125}
        document["build"]["components"].append(document["build"]["components"][0] | {"name": "retrieval"})

    change(bundle, add)
    assert "Retrieval takes 20.0 % of the conversion's time" in report(bundle).text


def test_gates_and_failures(bundle: Path, report: Callable[..., Page]) -> None:
    change(bundle, lambda document: document.update(status="failed", failures=["gate task.secs>=0.9: too far off"]))
    text = report(bundle).text
    assert "gate task.secs>=0.9: too far off" in text
    assert re.search(r"task.secs>=0.9 .{0,40}failed", text)
    assert re.search(r"fidelity.stoi>=0.9 .{0,40}passed", text)
    assert "no number" in text


def test_what_cannot_be_a_gate_is_told(bundle: Path, report: Callable[..., Page]) -> None:
    change(bundle, lambda document: document["build"]["recipe"].update(gates=["nonsense"]))
    assert "write it as" in report(bundle).text


def test_a_bundle_without_a_conversion_gets_the_table_and_the_reason(
    compiled: Path, report: Callable[..., Page]
) -> None:
    page = report(compiled)
    assert not page.all("audio")
    assert "compiled without a content encoder" in page.text
    assert "onnxruntime-cpu" in page.text


def test_names_from_a_manifest_stay_text(bundle: Path, report: Callable[..., Page]) -> None:
    def attack(document: dict[str, Any]) -> None:
        build, measured = document["build"], document["measurements"]
        build["target"]["name"] = build["source"]["family"] = build["source"]["facts"]["info"] = HOSTILE
        build["source"]["files"] = {HOSTILE: build["source"]["files"]["checkpoint"] | {"name": HOSTILE}}
        build["recipe"]["gates"] = [HOSTILE]
        measured["machine"]["cpu"] = measured["created"] = measured["conversion"]["sample"] = HOSTILE
        measured["conversion"]["options"]["transpose"] = HOSTILE
        for figures in (measured["conversion"]["task"], measured["conversion"]["steps"]):
            figures[HOSTILE] = {"value": 1.0, "unit": HOSTILE, "evidence": "host", "how": HOSTILE}
            for figure in figures.values():
                figure["how"] = HOSTILE
        measured["conversion"]["steps"][HOSTILE]["unit"] = "s"
        document["failures"] = [HOSTILE, "\ud800"]
        document["status"] = "failed"

    change(bundle, attack)
    page = report(bundle)
    assert not page.all("script")
    assert "<script>alert(" in page.text
    assert HOSTILE in [attributes.get("title") for attributes in page.all("span")]
    assert not any(name.startswith(("alert", "on")) for _, attributes in page.elements for name in attributes)


def test_several_bundles_share_their_sounds_but_for_what_they_made(
    bundle: Path, compiled: Path, tmp_path: Path, report: Callable[..., Page]
) -> None:
    other = speaking(compiled, tmp_path / "other")
    change(other, lambda document: document["build"]["target"].update(name="another-target"))
    page = report(bundle, other)
    assert len(page.all("audio")) == len(HERTZ) + 1
    assert len([row for row in page.all("td") if row.get("data-name") == "target"]) == 2
    assert "another-target" in page.text


def test_bundles_of_one_target_are_told_apart(
    bundle: Path, compiled: Path, tmp_path: Path, report: Callable[..., Page]
) -> None:
    text = report(bundle, speaking(compiled, tmp_path / "other")).text
    assert "onnxruntime-cpu (bundle)" in text
    assert "onnxruntime-cpu (other)" in text


def test_another_machines_time_is_not_put_beside_a_target(bundle: Path, report: Callable[..., Page]) -> None:
    change(bundle, lambda document: document["build"]["target"]["capabilities"].update(machine="board"))
    assert "it took 0.5 there" in report(bundle).text


def test_recordings_without_pitch_and_of_no_length_have_a_place(bundle: Path, report: Callable[..., Page]) -> None:
    path = bundle / "audio" / "converted.flac"
    write_sound(path, [np.zeros(10, np.float32)], RATE, 10)
    replace_audio(bundle, "converted")
    assert "no pitch" in report(bundle).text


def replace_audio(bundle: Path, role: str) -> None:
    record = FileRecord.of(bundle, bundle / "audio" / f"{role}.flac").model_dump()
    change(bundle, lambda document: document["measurements"]["conversion"]["audio"].update({role: record}))


def refused(error: type[Exception], match: str, output: Path, *bundles: Path) -> None:
    """Nothing is left behind, and what was there stays."""
    output.write_text("before")
    with pytest.raises(error, match=match):
        write_report(bundles, output)
    assert output.read_text() == "before"
    assert not list(output.parent.glob(".*partial*"))


def test_audio_that_is_not_the_manifests_is_refused(bundle: Path, tmp_path: Path) -> None:
    content = bytearray((bundle / "audio" / "target.flac").read_bytes())
    content[-5] ^= 1
    (bundle / "audio" / "target.flac").write_bytes(content)
    refused(BundleError, r"target\.flac: its SHA-256 is not the manifest's", tmp_path / "report.html", bundle)


@pytest.mark.parametrize("content", [b"", b"<svg onload='alert(1)'/>"])
def test_what_is_no_recording_is_refused(content: bytes, bundle: Path, tmp_path: Path) -> None:
    (bundle / "audio" / "source.flac").write_bytes(content)
    replace_audio(bundle, "source")
    refused(BundleError, r"source\.flac", tmp_path / "report.html", bundle)


def test_other_formats_and_lengths_are_refused(bundle: Path, tmp_path: Path) -> None:
    flac = bundle / "audio" / "source.flac"
    write_sound(bundle / "audio" / "long.flac", [np.zeros(40 * RATE, np.float32)], RATE, 40 * RATE)
    (bundle / "audio" / "long.flac").replace(flac)
    replace_audio(bundle, "source")
    refused(BundleError, "longer than 31 s", tmp_path / "report.html", bundle)
    write_sound(bundle / "audio" / "other.wav", [tone(100)], RATE, RATE)
    (bundle / "audio" / "other.wav").replace(flac)
    replace_audio(bundle, "source")
    refused(BundleError, "is WAV", tmp_path / "report.html", bundle)


def test_a_missing_recording_is_refused(bundle: Path, tmp_path: Path) -> None:
    change(bundle, lambda document: document["measurements"]["conversion"]["audio"].pop("converted"))
    refused(BundleError, "no converted recording", tmp_path / "report.html", bundle)


def test_bundles_of_different_voices_are_refused(bundle: Path, compiled: Path, tmp_path: Path) -> None:
    other = speaking(compiled, tmp_path / "other")
    change(other, lambda document: document["build"]["source"]["files"]["checkpoint"].update(sha256="0" * 64))
    assert read_manifest(other)
    refused(RecipeError, "of another voice", tmp_path / "report.html", bundle, other)
    refused(RecipeError, "at least one", tmp_path / "report.html")


@pytest.mark.parametrize(("name", "match"), [("r.txt", "ends in .html"), ("missing/r.html", "there is no directory")])
def test_places_that_cannot_be_are_refused(name: str, match: str, bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=match):
        write_report([bundle], tmp_path / name)


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MissingRuntimeError, match=r"voxc\[report\]"):
        needs.load("no_such_library")
