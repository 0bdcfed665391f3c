from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from voxc.compiler.bundle import Bundle, staged
from voxc.compiler.core.errors import BundleError, OutputError
from voxc.compiler.core.staging import PARTIAL_PREFIX
from voxc.compiler.manifest import MANIFEST_NAME, FileRecord


def fill(staging: Path, text: str = "new") -> None:
    (staging / MANIFEST_NAME).write_text(text)


def test_a_bundle_appears_whole(tmp_path: Path) -> None:
    place = tmp_path / "deep" / "bundle"
    with staged(place) as staging:
        fill(staging)
        assert not place.exists()
    assert [path.name for path in place.iterdir()] == [MANIFEST_NAME]
    assert [path.name for path in place.parent.iterdir()] == ["bundle"]


def test_a_bundle_is_replaced_and_not_mixed(tmp_path: Path) -> None:
    place = tmp_path / "bundle"
    with staged(place) as staging:
        fill(staging, "old")
        (staging / "only-in-old").touch()
    with staged(place) as staging:
        fill(staging)
    assert [path.name for path in place.iterdir()] == [MANIFEST_NAME]
    assert (place / MANIFEST_NAME).read_text() == "new"
    assert list(tmp_path.iterdir()) == [place]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failure_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    with pytest.raises(error), staged(tmp_path / "deep" / "bundle") as staging:
        fill(staging)
        raise error
    assert not list(tmp_path.iterdir())


def test_a_failure_leaves_the_old_bundle(tmp_path: Path) -> None:
    place = tmp_path / "bundle"
    with staged(place) as staging:
        fill(staging, "old")
    with pytest.raises(ValueError, match="half way"), staged(place) as staging:
        fill(staging)
        raise ValueError("half way")
    assert (place / MANIFEST_NAME).read_text() == "old"


def test_the_old_bundle_comes_back_if_the_new_one_cannot_take_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "bundle"
    with staged(place) as staging:
        fill(staging, "old")
    rename = Path.rename

    def refuse(path: Path, to: Path) -> Path:
        if to == place and path.name == "new":
            raise OSError("no")
        return rename(path, to)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(OutputError, match="cannot be written"), staged(place) as staging:
        fill(staging)
    assert (place / MANIFEST_NAME).read_text() == "old"


def test_what_is_not_a_bundle_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    for place in (tmp_path, tmp_path / "notes.txt"):
        with pytest.raises(OutputError, match="exists and is not"), staged(place):
            pass
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_an_unwritable_place_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"), staged(tmp_path / "file" / "bundle"):
        pass


def test_what_a_killed_run_left_is_removed_and_what_lives_is_not(tmp_path: Path) -> None:
    place = tmp_path / "bundle"
    script = (
        "import sys, time; from pathlib import Path; from voxc.compiler.bundle import staged\n"
        "with staged(Path(sys.argv[1])) as staging: print('ready', flush=True); time.sleep(60)"
    )
    run = subprocess.Popen([sys.executable, "-c", script, place], stdout=subprocess.PIPE)
    assert run.stdout is not None
    assert run.stdout.readline() == b"ready\n"
    with staged(place) as staging:
        fill(staging)
    (left,) = (path for path in tmp_path.iterdir() if path.name.startswith(PARTIAL_PREFIX))
    run.send_signal(signal.SIGKILL)
    run.wait()
    assert left.exists()
    with staged(place) as staging:
        fill(staging)
    assert list(tmp_path.iterdir()) == [place]


def test_interruption_leaves_nothing(tmp_path: Path, voice_file: Path) -> None:
    """Ctrl-C in the middle of a compile."""
    place = tmp_path / "bundle"
    run = subprocess.Popen(
        [sys.executable, "-m", "voxc.compiler", "compile", voice_file, "-t", "onnxruntime-cpu", "-o", place],
        stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # tests in the background ignore it
    )  # fmt: skip
    assert run.stderr is not None
    for line in run.stderr:
        if "emitting" in line:
            break
    time.sleep(0.1)
    run.send_signal(signal.SIGINT)
    *steps, last = run.stderr.read().splitlines()
    assert (run.wait(), last) == (130, "voxc: interrupted")
    assert all(step.startswith("[") for step in steps), steps
    assert not list(tmp_path.iterdir())


def test_files_are_checked_against_the_manifest(compiled: Path, tmp_path: Path) -> None:
    bundle = Bundle.open(Path(shutil.copytree(compiled, tmp_path / "copy")))
    (file,) = bundle.manifest.component("synthesizer").files
    assert bundle.complaint(file) is None
    path = bundle.directory / file.path
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert "SHA-256" in str(bundle.complaint(file))
    path.write_bytes(content[:-1])
    assert "bytes" in str(bundle.complaint(file))
    path.unlink()
    assert "missing" in str(bundle.complaint(file))


def test_a_link_out_of_the_bundle_is_not_followed(compiled: Path, tmp_path: Path) -> None:
    bundle = Bundle.open(Path(shutil.copytree(compiled, tmp_path / "copy")))
    (tmp_path / "secret").write_text("secret")
    (bundle.directory / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(BundleError, match="leads out"):
        bundle.path(FileRecord(path="link", bytes=6, sha256="0" * 64))


def test_an_unknown_component_is_told_what_there_is(compiled: Path) -> None:
    with pytest.raises(BundleError, match="no component 'vocoder'; it has synthesizer"):
        Bundle.open(compiled).manifest.component("vocoder")
