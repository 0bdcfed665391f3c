from __future__ import annotations

import pickle
import zipfile
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.voices import TINY, tiny_content, write_voice
from voxc.compiler.core.errors import CheckpointError
from voxc.compiler.families.rvc.checkpoint import load_checkpoint
from voxc.compiler.families.rvc.config import FIELDS
from voxc.compiler.families.rvc.files import VoiceFiles
from voxc.compiler.families.rvc.voice import load_voice


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("f0", [0, 1])
def test_versions_with_and_without_f0(tmp_path: Path, version: str, f0: int) -> None:
    voice = load_voice(VoiceFiles(write_voice(tmp_path / "voice.pth", version=version, f0=f0)))
    assert voice.settings["uses_f0"] == bool(f0)
    assert voice.settings["content_features"] == {"v1": 256, "v2": 768}[version]
    names = [spec.name for spec in voice.components[0].inputs + voice.components[0].noise]
    assert names == (
        ["phone", "pitch", "nsff0", "sid", "prior_noise", "source_noise"] if f0 else ["phone", "sid", "prior_noise"]
    )


def test_the_posterior_encoder_is_passed_over(tmp_path: Path) -> None:
    load_checkpoint(write_voice(tmp_path / "voice.pth", training_part=True))


def test_both_spellings_of_weight_norm_are_one_network(tmp_path: Path) -> None:
    old = tiny_content()
    new = dict(old) | {"weight": {respelled(name): tensor for name, tensor in old["weight"].items()}}
    assert new["weight"].keys() != old["weight"].keys()
    first = load_checkpoint(write_voice(tmp_path / "old.pth", old)).network.state_dict()
    second = load_checkpoint(write_voice(tmp_path / "new.pth", new)).network.state_dict()
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def respelled(name: str) -> str:
    return name.replace("weight_g", "parametrizations.weight.original0").replace(
        "weight_v", "parametrizations.weight.original1"
    )


def test_speakers_come_from_the_embedding(tmp_path: Path) -> None:
    """Merged and trimmed voices keep 109 in the config; the reference looks at the tensor, and so do we."""
    content = tiny_content()
    content["config"][15] = 109
    assert load_voice(VoiceFiles(write_voice(tmp_path / "voice.pth", content))).settings["speakers"] == 2


def test_missing_version_and_f0_are_read_as_the_reference_does(tmp_path: Path) -> None:
    content = tiny_content(version="v1")
    del content["version"], content["f0"], content["info"]
    assert load_voice(VoiceFiles(write_voice(tmp_path / "voice.pth", content))).settings["content_features"] == 256


def test_the_legacy_file_format_is_read(tmp_path: Path) -> None:
    torch.save(tiny_content(), tmp_path / "voice.pth", _use_new_zipfile_serialization=False)
    load_checkpoint(tmp_path / "voice.pth")


class Bomb:
    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return exec, ("raise SystemExit('the pickle ran')",)


def damage(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    content = tiny_content()
    change(content)
    return content


DAMAGED = {
    "no weight": (lambda c: c.pop("weight"), "no 'weight' and 'config'"),
    "training checkpoint": (lambda c: (c.pop("config"), c.update(model=c.pop("weight"))), "its training"),
    "no speakers": (lambda c: c["weight"].pop("emb_g.weight"), "emb_g.weight"),
    "weight is a list": (lambda c: c.update(weight=[1]), "must map names to tensors"),
    "number in weight": (lambda c: c["weight"].update(extra=1), "'extra' that is not a tensor"),
    "missing tensor": (lambda c: c["weight"].pop("dec.conv_pre.weight"), "missing tensors: dec.conv_pre.weight"),
    "unknown tensor": (lambda c: c["weight"].update(what=torch.ones(1)), "no place for: what"),
    "wrong shape": (
        lambda c: c["weight"].update({"dec.conv_pre.bias": torch.ones(7)}),
        r"dec.conv_pre.bias has shape \[7\]",
    ),
    "NaN": (
        lambda c: c["weight"]["dec.conv_pre.bias"].fill_(float("nan")),
        "NaN or infinite values in dec.conv_pre.bias",
    ),
    "infinity": (
        lambda c: c["weight"]["enc_p.proj.bias"].fill_(float("inf")),
        "NaN or infinite values in enc_p.proj.bias",
    ),
    "integers": (lambda c: c["weight"].update({"enc_p.proj.bias": torch.ones(8, dtype=torch.int32)}), "floating-point"),
    "sparse": (lambda c: c["weight"].update({"enc_p.proj.bias": torch.ones(8).to_sparse()}), "dense tensors"),
    "more than the file holds": (
        lambda c: c["weight"].update({"enc_p.emb_phone.weight": torch.ones(1).expand(1 << 14, 1 << 14)}),
        "claim more elements than the file holds",
    ),
    "code": (lambda c: c.update(info=Bomb()), r"would run code \((builtins|__builtin__).exec\)"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_voice_is_refused_by_name(tmp_path: Path, case: str) -> None:
    change, complaint = DAMAGED[case]
    path = write_voice(tmp_path / "voice.pth", damage(change))
    with pytest.raises(CheckpointError, match=complaint) as caught:
        load_checkpoint(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def with_names(change: Callable[[str], str]) -> Callable[[dict[str, Any]], object]:
    return lambda c: c.update(weight={change(name): tensor for name, tensor in c["weight"].items()})


def without_norms(content: dict[str, Any]) -> None:
    """As `remove_weight_norm` leaves a network."""
    for name in [name for name in content["weight"] if name.endswith("weight_v")]:
        direction, length = content["weight"].pop(name), content["weight"].pop(f"{name[:-1]}g")
        norm = torch.linalg.vector_norm(direction.flatten(1), dim=1).reshape(length.shape)
        content["weight"][name[:-2]] = direction * (length / norm)


#: What people hold, and the network is the same.
VARIANTS: dict[str, Callable[[dict[str, Any]], object]] = {
    "trained on several GPUs": with_names(lambda name: f"module.{name}"),
    "weight norm removed": without_norms,
    "NumPy arrays": lambda c: c.update(weight={name: tensor.numpy() for name, tensor in c["weight"].items()}),
    "parameters": lambda c: c.update(weight={n: torch.nn.Parameter(tensor) for n, tensor in c["weight"].items()}),
    "config by names": lambda c: c.update(config=dict(zip((*FIELDS[:-1], "sr"), c["config"], strict=True))),
    "a size of NumPy": lambda c: c["config"].__setitem__(6, np.int64(c["config"][6])),
    "harmless objects": lambda c: c.update(path=PurePosixPath("/x"), loss=np.float32(1.5), args=Namespace(a=1)),
    "F0 as a string": lambda c: c.update(f0="1"),
    "F0 in Chinese": lambda c: c.update(f0="\u662f"),
    "F0 is None": lambda c: c.update(f0=None),
    "F0 as a tensor": lambda c: c.update(f0=torch.tensor(1)),
    "a version in capitals": lambda c: c.update(version="V2"),
    "a version as a number": lambda c: c.update(version=2),
    "no version": lambda c: c.pop("version"),
    "version is None": lambda c: c.update(version=None),
}


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("case", VARIANTS)
def test_variants_are_the_same_voice(tmp_path: Path, case: str, protocol: int) -> None:
    changed = tiny_content()
    VARIANTS[case](changed)
    torch.save(changed, tmp_path / "variant.pth", pickle_protocol=protocol)
    plain, variant = load_checkpoint(write_voice(tmp_path / "plain.pth")), load_checkpoint(tmp_path / "variant.pth")
    assert variant.config == plain.config
    assert not variant.warnings
    expected = plain.network.state_dict()
    for name, tensor in variant.network.state_dict().items():
        if case == "weight norm removed" and name.endswith(("weight_g", "weight_v")):
            continue
        assert torch.equal(tensor, expected[name])


def test_removed_weight_norms_come_back(tmp_path: Path) -> None:
    changed = tiny_content()
    without_norms(changed)
    norms = load_checkpoint(write_voice(tmp_path / "variant.pth", changed)).network.state_dict()
    expected = load_checkpoint(write_voice(tmp_path / "plain.pth")).network.state_dict()
    for name in [name for name in expected if name.endswith("weight_g")]:
        direction = norms[f"{name[:-1]}v"]
        length = torch.linalg.vector_norm(direction.flatten(1), dim=1)
        assert torch.allclose(length, norms[name].flatten(), rtol=1e-3)
        assert torch.allclose(norms[name], expected[name].abs(), rtol=5e-3)  # of what was float16


@pytest.mark.parametrize(
    ("labels", "kept", "warning"),
    [
        ({"version": "v1"}, {"version": "v2"}, "says that it is v1, and has the tensors of v2"),
        ({"f0": 0}, {"f0": True}, "says that it was trained without F0"),
        (
            {"vocoder": "RefineGAN"},
            {},
            "says that its vocoder is RefineGAN",
        ),
    ],
)
def test_where_labels_are_wrong_the_tensors_are_right(
    tmp_path: Path, labels: dict[str, Any], kept: dict[str, Any], warning: str
) -> None:
    checkpoint = load_checkpoint(write_voice(tmp_path / "voice.pth", tiny_content() | labels))
    assert {name: getattr(checkpoint.config, name) for name in kept} == kept
    (message,) = checkpoint.warnings
    assert message.startswith(f"{tmp_path / 'voice.pth'}: {warning}")


def test_what_forks_add_becomes_facts(tmp_path: Path) -> None:
    more = {"epoch": 200, "embedder_model": "spin", "model_name": "n" * 1000, "list": [1], "author": None}
    facts = load_checkpoint(write_voice(tmp_path / "voice.pth", tiny_content() | more)).facts
    assert (facts["epoch"], facts["embedder_model"], facts["model_name"]) == (200, "spin", "n" * 200)
    assert not {"list", "author", "weight", "config"} & facts.keys()


NO_VOICES = {
    "a discriminator": ({"model": {"discriminators.0.convs.0.bias": torch.zeros(4)}}, r"a discriminator \(D_"),
    "a bare discriminator": ({"discriminators.0.convs.0.bias": torch.zeros(4)}, r"a discriminator \(D_"),
    "a bare state_dict": ({"enc_p.proj.bias": torch.zeros(4)}, "a bare state_dict"),
    "a list": ([torch.zeros(4)], "holds a list"),
    "an object": (Namespace(a=1), "holds a argparse.Namespace"),
}


@pytest.mark.parametrize("case", NO_VOICES)
def test_what_is_no_voice_is_named(tmp_path: Path, case: str) -> None:
    content, complaint = NO_VOICES[case]
    torch.save(content, tmp_path / "voice.pth")
    with pytest.raises(CheckpointError, match=complaint):
        load_checkpoint(tmp_path / "voice.pth")


def test_another_vocoder_is_named(tmp_path: Path) -> None:
    content = tiny_content() | {"vocoder": "RingFormer"}
    content["weight"]["dec.upsample_blocks.0.weight"] = torch.ones(2)
    names = "HiFi-GAN, MRF HiFi-GAN, RefineGAN"
    with pytest.raises(CheckpointError, match=f"no place for: .*its vocoder is RingFormer, voxc reads {names}"):
        load_checkpoint(write_voice(tmp_path / "voice.pth", content))


def test_a_plain_pickle_with_code_is_refused(tmp_path: Path) -> None:
    (tmp_path / "voice.pth").write_bytes(pickle.dumps({"weight": Bomb()}))
    with pytest.raises(CheckpointError, match="voice.pth"):
        load_checkpoint(tmp_path / "voice.pth")


def test_a_compressed_archive_is_refused(tmp_path: Path) -> None:
    """torch.save never compresses; a small file that unpacks to gigabytes is a bomb."""
    plain = write_voice(tmp_path / "plain.pth")
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as bomb:
        for info in source.infolist():
            bomb.writestr(info.filename, source.read(info))
        bomb.writestr("plain/data/999", bytes(1 << 24))
    with pytest.raises(CheckpointError, match="compressed records"):
        load_checkpoint(tmp_path / "bomb.pth")


def test_a_config_cannot_ask_for_memory_that_the_file_does_not_hold(tmp_path: Path) -> None:
    content = tiny_content()
    content["config"][3] = content["config"][4] = 1 << 14
    with pytest.raises(CheckpointError, match="the config asks for"):
        load_checkpoint(write_voice(tmp_path / "voice.pth", content))


@pytest.mark.parametrize("name", ["missing.pth", "folder.pth", "empty.pth", "text.pth", "song.wav"])
def test_what_is_no_checkpoint_at_all(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "folder.pth":
        path.mkdir()
    elif name != "missing.pth":
        path.write_bytes(b"" if name == "empty.pth" else b"not a checkpoint\n")
    with pytest.raises(CheckpointError, match=name):
        load_voice(VoiceFiles(path))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_bytes_give_an_error_or_a_voice(tmp_path: Path, data: st.DataObject) -> None:
    """Whatever happens to the bytes, the loader answers with its own error or with a voice."""
    content = bytearray(write_voice(tmp_path / "whole.pth", config=TINY).read_bytes())
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content)))]
    for _ in range(data.draw(st.integers(0, 8))):
        if content:
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "damaged.pth"
    path.write_bytes(content)
    try:
        load_checkpoint(path)
    except CheckpointError as error:
        assert "damaged.pth" in str(error)
