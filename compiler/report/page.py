"""Bundles of one voice in, one HTML page out that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from voxc.compiler.bundle import Bundle
from voxc.compiler.core.errors import BundleError, OutputError, RecipeError
from voxc.compiler.core.whole_file import whole_file
from voxc.compiler.manifest import Conversion
from voxc.compiler.measure.quality import f0
from voxc.compiler.report.needs import load
from voxc.compiler.report.picture import draw
from voxc.compiler.report.sounds import PitchAxis, Sound, spectrogram_ticks
from voxc.compiler.report.table import (
    COLUMNS,
    MEANINGS,
    NO_CONVERSION,
    Cell,
    GateRow,
    Share,
    elsewhere,
    every_figure,
    gate_rows,
    labels,
    notes,
    row,
    shares,
)

TEMPLATE = "report.html.j2"
SUFFIXES = (".html", ".htm")
#: Pixels of the picture, so that its letters are as large as those around it: on screens, and on phones.
PICTURES = {"wide": (760.0, 380.0), "slim": (340.0, 360.0)}
#: The recordings that bundles share, in the order of the page: role, title and caption.
SHARED_SOUNDS = (
    ("source", "Source", "the recording that is converted"),
    ("target", "Target", "a recording of the speaker to sound like, of other words"),
    ("float32", "PyTorch float32", "the source, converted by the voice before it was compiled"),
)


@dataclass(frozen=True)
class Column:
    """A bundle as the page shows it; `retrieval` is the share of that step in percent, None without an index.
    `elsewhere` is true if the target is another machine than the one that measured."""

    label: str
    bundle: Bundle
    cells: dict[str, Cell]
    gates: list[GateRow]
    steps: list[Share]
    retrieval: float | None
    figures: list[tuple[str, str, Cell]]
    elsewhere: bool

    @classmethod
    def of(cls, label: str, bundle: Bundle) -> Column:
        conversion = bundle.manifest.measurements.conversion
        steps = shares(conversion) if conversion else []
        indexed = any(component.name == "retrieval" for component in bundle.manifest.build.components)
        return cls(
            label,
            bundle,
            dict(zip(COLUMNS, row(label, bundle), strict=True)),
            gate_rows(bundle),
            steps,
            next((share.percent for share in steps if share.step == "retrieval" and indexed), None),
            every_figure(bundle),
            elsewhere(bundle),
        )


def write_report(bundles: Sequence[Path], output: Path) -> None:
    """Writes the page about `bundles`, all of one voice; it is complete or absent.

    Raises:
        BundleError: one is not a bundle, or its recordings are not those of its manifest.
        RecipeError: there are none, or they are of different voices.
        OutputError: the page cannot be written.
        MissingRuntimeError: the extra `report` is not installed.
    """
    check_output(output)
    opened = [Bundle.open(directory) for directory in bundles]
    check_voice(opened)
    write_whole(output, render(opened))


def check_output(output: Path) -> None:
    if output.suffix.lower() not in SUFFIXES:
        raise OutputError(f"{output}: reports are web pages; give the output a name that ends in .html")
    if output.is_dir():
        raise OutputError(f"{output}: is a directory; name a file in it")
    if not output.parent.is_dir():
        raise OutputError(f"{output}: there is no directory {output.parent}; make it first")


def check_voice(bundles: Sequence[Bundle]) -> None:
    if not bundles:
        raise RecipeError("a report needs at least one bundle")
    first = bundles[0]
    for bundle in bundles[1:]:
        if bundle.manifest.build.source.files != first.manifest.build.source.files:
            raise RecipeError(
                f"{bundle.directory}: is of another voice than {first.directory}; "
                "a report compares bundles of one voice"
            )


def render(bundles: Sequence[Bundle]) -> str:
    """The page. The template escapes all its values."""
    jinja = load("jinja2")
    environment = jinja.Environment(
        loader=jinja.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    columns = [Column.of(label, bundle) for label, bundle in zip(labels(bundles), bundles, strict=True)]
    sounds = collect_sounds(columns)
    return environment.get_template(TEMPLATE).render(
        columns=columns,
        notes=notes([column.cells for column in columns]),
        pictures={name: draw([column.cells for column in columns], *size) for name, size in PICTURES.items()},
        names=COLUMNS,
        meanings=MEANINGS,
        conversion=next(filter(None, (bundle.manifest.measurements.conversion for bundle in bundles)), None),
        sounds=sounds,
        axis=PitchAxis.of(sounds),
        spectrogram_ticks=spectrogram_ticks(),
        f0_how=f0.how(),
        no_conversion=NO_CONVERSION,
    )


def collect_sounds(columns: Sequence[Column]) -> list[Sound]:
    """Shared recordings once, then each bundle's own; each conversion has the pitch of its source beside it."""
    shared: dict[tuple[str, str], Sound] = {}
    made: list[Sound] = []
    for column in columns:
        conversion = column.bundle.manifest.measurements.conversion
        if conversion is None:
            continue
        here: dict[str, Sound] = {}
        for role, title, caption in SHARED_SOUNDS:
            file = conversion.audio.get(role)
            if file is None:
                continue
            key = role, file.sha256
            if key not in shared:
                variant = f"{title} ({column.label})" if any(other == role for other, _ in shared) else title
                shared[key] = follow(
                    Sound.read(column.bundle, file, variant, caption), role, here.get("source"), conversion
                )
            here[role] = shared[key]
        made.append(converted(column, conversion, here.get("source")))
    order = [role for role, _, _ in SHARED_SOUNDS]
    return [shared[key] for key in sorted(shared, key=lambda key: order.index(key[0]))] + made


def converted(column: Column, conversion: Conversion, source: Sound | None) -> Sound:
    file = conversion.audio.get("converted")
    if file is None:
        raise BundleError(f"{column.bundle.directory}: has no converted recording; compile the voice again")
    sound = Sound.read(column.bundle, file, column.label, "the source, converted by this bundle")
    return follow(sound, "converted", source, conversion)


def follow(sound: Sound, role: str, source: Sound | None, conversion: Conversion) -> Sound:
    """A converted sound with the requested pitch beside it."""
    transpose = conversion.options.get("transpose", 0)
    if source is None or role not in ("float32", "converted") or not isinstance(transpose, int | float):
        return sound
    return sound.following(source, max(-60.0, min(60.0, transpose)))


def write_whole(output: Path, text: str) -> None:
    try:
        with whole_file(output) as partial:
            partial.write_text(text, encoding="utf-8", errors="replace")
    except OSError as error:
        raise OutputError(f"{output}: cannot be written ({error.strerror or error})") from error
