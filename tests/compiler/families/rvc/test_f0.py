"""F0 networks in voices."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.conftest import Once, Voxc
from tests.voices import write_rmvpe, write_voice
from voxc.compiler.audio.pitch import ESTIMATORS
from voxc.compiler.audio.salience import NetworkEstimator
from voxc.compiler.bundle import Bundle
from voxc.compiler.core.errors import CheckpointError, RecipeError
from voxc.compiler.families import load_model
from voxc.compiler.families.rvc.chain import RvcChain
from voxc.compiler.families.rvc.files import find_voice
from voxc.compiler.runtime.pipeline import load_pipeline


@pytest.fixture(scope="session")
def voice(once: Once, speaking_voice: Path) -> Path:
    """A directory with all that users have."""

    def make(folder: Path) -> None:
        shutil.copytree(speaking_voice, folder)
        write_rmvpe(folder / "rmvpe.pt")

    return once("voice-with-rmvpe", make)


def test_files(voice: Path, voice_file: Path, tmp_path: Path) -> None:
    assert find_voice(voice).rmvpe == voice / "rmvpe.pt"
    assert find_voice(voice, f0="pm").rmvpe is None
    assert find_voice(voice / "tiny.pth").rmvpe is None
    assert find_voice(voice / "tiny.pth", f0="rmvpe").rmvpe == voice / "rmvpe.pt"
    assert find_voice(voice_file, f0=str(voice / "rmvpe.pt")).rmvpe == voice / "rmvpe.pt"
    assert find_voice(voice).digested()["rmvpe"] == voice / "rmvpe.pt"
    alone = write_voice(tmp_path / "tiny.pth")
    with pytest.raises(CheckpointError, match=r"--f0 rmvpe: there is no .*rmvpe.pt; give its file: --f0 PATH/rmvpe.pt"):
        find_voice(alone, f0="rmvpe")
    with pytest.raises(CheckpointError, match=r"--f0 crepe: no such file; give rmvpe.pt, or pm for none"):
        find_voice(alone, f0="crepe")


def test_another_file_is_no_f0_network(voice: Path) -> None:
    with pytest.raises(CheckpointError, match=r"tiny.pth: not RMVPE"):
        load_model(voice, {"f0": str(voice / "tiny.pth")})


def test_a_voice_without_f0_gets_none(voice: Path, tmp_path: Path) -> None:
    alone = write_voice(tmp_path / "tiny.pth", f0=0)
    model = load_model(alone, {"f0": str(voice / "rmvpe.pt")})
    assert [component.name for component in model.components] == ["synthesizer"]
    assert "was trained without pitch, and has no use for rmvpe.pt" in model.warnings[0]


def test_conversions_choose_among_what_there_is(voxc: Voxc, voice: Path, tmp_path: Path) -> None:
    bundle, recording = tmp_path / "b", voice / "sample.wav"
    made = voxc("compile", voice, "-t", "onnxruntime-cpu", "--frames", "64", "--no-measure", "-o", bundle)
    assert made.exit_code == 0, made.output
    pipeline = load_pipeline(Bundle.open(bundle))
    assert list(pipeline.runners) == ["rmvpe", "content", "retrieval", "synthesizer"]
    assert isinstance(pipeline.chain, RvcChain)
    for name in ("auto", "rmvpe"):
        assert isinstance(pipeline.chain.estimator(name, pipeline.runners), NetworkEstimator)
    assert pipeline.chain.estimator("pm", pipeline.runners) is ESTIMATORS["pm"]
    with pytest.raises(RecipeError, match="f0 crepe: this voice has rmvpe, pm; compile it with --f0"):
        pipeline.chain.estimator("crepe", pipeline.runners)
    reports = {}
    for name in ("auto", "rmvpe", "pm"):
        done = voxc("convert", recording, "-b", bundle, "-o", tmp_path / f"{name}.wav", "--f0", name, "--json")
        assert done.exit_code == 0, done.output
        reports[name] = (tmp_path / f"{name}.wav").read_bytes()
    assert reports["auto"] == reports["rmvpe"] != reports["pm"]
    assert json.loads(voxc("inspect", bundle, "--json").output)["build"]["source"]["files"]["rmvpe"]
