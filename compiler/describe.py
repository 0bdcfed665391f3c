"""Sections of the manifest that say what was built."""

from __future__ import annotations

from pathlib import Path

from voxc.backends.base import Artifact
from voxc.compiler.errors import CheckpointError
from voxc.compiler.manifest import ComponentBuild, FileRecord, PassNote, Source, SourceFile, Voice, sha256_of_file
from voxc.compiler.program import Program, VoiceModel
from voxc.compiler.voice_files import VoiceFiles


def describe_source(files: VoiceFiles, voice: VoiceModel) -> Source:
    return Source(
        files={role: describe_file(path) for role, path in files.digested().items()},
        family=voice.family,
        facts=voice.facts,
    )


def describe_file(path: Path) -> SourceFile:
    try:
        return SourceFile(name=path.name, bytes=path.stat().st_size, sha256=sha256_of_file(path))
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror or error}") from error


def describe_voice(voice: VoiceModel) -> Voice:
    return Voice(
        sample_rate=voice.sample_rate,
        hop=voice.hop,
        content_features=voice.content_features,
        uses_f0=voice.uses_f0,
        speakers=voice.speakers,
    )


def describe_component(
    program: Program, frame_rate: float, artifact: Artifact, staging: Path, bound: float
) -> ComponentBuild:
    return ComponentBuild(
        name=program.name,
        frame_rate=frame_rate,
        inputs=program.inputs,
        outputs=program.outputs,
        passes=tuple(PassNote(name=done.name, modified=done.modified, notes=done.notes) for done in program.history),
        plan=program.plan,
        precision_histogram=program.plan.histogram(program.compute_nodes()),
        format=artifact.format,
        files=tuple(FileRecord.of(staging, file) for file in artifact.files),
        min_snr_db=bound,
    )
