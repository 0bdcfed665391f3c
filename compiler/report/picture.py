"""Bundles as a picture: how long a segment takes to the right, SNR upwards, and size as area."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from voxc.compiler.report.table import Cell

#: Pixels of one letter of a label, and of a line.
LETTER, LINE = 7.0, 15.0
#: Between a point and its label.
GAP = 5.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 14.0, 14.0, 52.0
LEAST_RADIUS, MOST_RADIUS = 4.0, 20.0
#: How much of the width bundles without a time have, at least so many pixels.
STRIP, LEAST_STRIP = 0.22, 90.0
STEPS = (1, 2, 5)
MOST_TICKS = 8


@dataclass(frozen=True)
class Box:
    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: Box) -> bool:
        across = self.left < other.right and other.left < self.right
        return across and self.top < other.bottom and other.top < self.bottom

    def within(self, other: Box) -> bool:
        across = other.left <= self.left and self.right <= other.right
        return across and other.top <= self.top and self.bottom <= other.bottom


@dataclass(frozen=True)
class Point:
    """A bundle at its place in pixels; `kind` is `measured`, `estimate` or `untimed`. Its label starts, ends or is
    centred (`anchor`) at `text_x`, centred on `text_y`; `lead` says that a line goes there from the point."""

    label: str
    kind: str
    latency: Cell
    snr: Cell
    size: Cell
    x: float
    y: float
    radius: float
    text_x: float
    text_y: float
    anchor: str
    lead: bool


@dataclass(frozen=True)
class Scale:
    """From values to pixels; a logarithmic one takes logarithms first."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def at(self, value: float) -> float:
        value = math.log10(value) if self.logarithmic else value
        return self.start + (self.end - self.start) * (value - self.low) / (self.high - self.low)

    def ticks(self) -> list[tuple[str, float]]:
        """Round values, as text, and their places."""
        values = powers(self.low, self.high) if self.logarithmic else rounds(self.low, self.high)
        return [(f"{value:g}", self.at(value)) for value in values]


@dataclass(frozen=True)
class Picture:
    """All in pixels; `strip` is where bundles without a time begin, None without them. `missing` are bundles without an
    SNR, which have no place."""

    width: float
    height: float
    points: tuple[Point, ...]
    across: Scale
    up: Scale
    strip: float | None
    missing: tuple[str, ...]

    @property
    def right(self) -> float:
        return self.width - RIGHT

    @property
    def bottom(self) -> float:
        return self.height - BOTTOM


def draw(rows: Sequence[Mapping[str, Cell]], width: float, height: float) -> Picture | None:
    """The picture of the table's rows; None if there is nothing to see."""
    placed = [row for row in rows if row["SNR"].value is not None]
    timed = [row for row in placed if positive(row["latency"].value)]
    if not placed:
        return None
    right = width - RIGHT
    strip = right - max(STRIP * (right - LEFT), LEAST_STRIP) if len(timed) < len(placed) else None
    if not timed:
        strip = LEFT
    end = right if strip is None or not timed else strip
    across = horizontal([row["latency"].value or 1.0 for row in timed], end)
    up = vertical([row["SNR"].value or 0.0 for row in placed], height)
    labels: list[Box] = []
    edges = () if strip is None or strip == LEFT else (Box(strip - 1, TOP, strip + 1, height - BOTTOM),)
    aside = ((strip or LEFT) + right) / 2
    circles = [circle(row, rows, across, up, aside) for row in placed]
    points = [
        labelled(row, place, circles, labels, edges, Box(LEFT, 0, width, height - BOTTOM))
        for row, place in sorted(zip(placed, circles, strict=True), key=lambda each: each[1][1])
    ]
    missing = tuple(row["target"].text for row in rows if row not in placed)
    return Picture(width, height, tuple(points), across, up, strip, missing)


def positive(value: float | None) -> bool:
    return value is not None and value > 0


def horizontal(latencies: Sequence[float], end: float) -> Scale:
    logs = [math.log10(value) for value in latencies] or [0.0]
    spare = max(0.12 * (max(logs) - min(logs)), 0.15)
    return Scale(min(logs) - spare, max(logs) + spare, LEFT, end, logarithmic=True)


def vertical(ratios: Sequence[float], height: float) -> Scale:
    spare = max(0.15 * (max(ratios) - min(ratios)), 3.0)
    return Scale(min(ratios) - spare, max(ratios) + spare, height - BOTTOM, TOP)


def circle(
    row: Mapping[str, Cell], rows: Sequence[Mapping[str, Cell]], across: Scale, up: Scale, aside: float
) -> tuple[float, float, float]:
    """Centre, at `aside` without a time, and radius; the area is in proportion to the size, but for the smallest."""
    largest = max(each["size"].value or 0.0 for each in rows) or 1.0
    radius = max(MOST_RADIUS * math.sqrt((row["size"].value or 0.0) / largest), LEAST_RADIUS)
    latency = row["latency"].value
    x = across.at(latency) if latency is not None and latency > 0 else aside
    return x, up.at(row["SNR"].value or 0.0), radius


def labelled(
    row: Mapping[str, Cell],
    place: tuple[float, float, float],
    circles: Sequence[tuple[float, float, float]],
    labels: list[Box],
    edges: Sequence[Box],
    inside: Box,
) -> Point:
    """The point with its label at the first place inside the picture that is free, over an edge only if there is no
    other; `labels` are the boxes of those before, and get its own."""
    x, y, radius = place
    label, latency = row["target"].text, row["latency"]
    taken = [*labels, *(Box(cx - r, cy - r, cx + r, cy + r) for cx, cy, r in circles if (cx, cy, r) != place)]
    free = [
        (anchor, text_x, text_y, box)
        for anchor, text_x, text_y in places(x, y, radius)
        if (box := box_of(label, anchor, text_x, text_y)).within(inside) and not any(map(box.overlaps, taken))
    ]
    clear = [each for each in free if not any(map(each[3].overlaps, edges))]
    beside = ("start", x + radius + GAP, y, box_of(label, "start", x + radius + GAP, y))
    anchor, text_x, text_y, box = next(iter((*clear, *free, beside)))
    labels.append(box)
    kind = "untimed" if not positive(latency.value) else "estimate" if latency.evidence == "estimate" else "measured"
    lead = anchor != "middle" and text_y != y
    return Point(label, kind, latency, row["SNR"], row["size"], x, y, radius, text_x, text_y, anchor, lead)


def box_of(label: str, anchor: str, x: float, y: float) -> Box:
    left = x - LETTER * len(label) * {"start": 0.0, "middle": 0.5, "end": 1.0}[anchor]
    return Box(left, y - LINE / 2, left + LETTER * len(label), y + LINE / 2)


def places(x: float, y: float, radius: float) -> Iterator[tuple[str, float, float]]:
    """Anchors and places of a label, the best first: beside the point, below and above it, then further off."""
    yield from (("start", x + radius + GAP, y), ("end", x - radius - GAP, y))
    yield from (("middle", x, y + side * (radius + LINE / 2)) for side in (1, -1))
    for step in range(1, 12):
        for below in (-1, 1):
            for anchor, side in (("start", 1), ("end", -1)):
                yield anchor, x + side * (radius + GAP), y + below * step * LINE


def powers(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten between two logarithms; only the powers where those are many."""
    values = [step * 10.0**power for power in range(math.floor(low), math.ceil(high) + 1) for step in STEPS]
    inside = [value for value in values if low <= math.log10(value) <= high]
    return inside if len(inside) <= MOST_TICKS else [value for value in inside if math.log10(value).is_integer()]


def rounds(low: float, high: float) -> list[float]:
    step = next(
        step * 10.0**power
        for power in range(-3, 6)
        for step in STEPS
        if (high - low) / (step * 10.0**power) <= MOST_TICKS
    )
    return [step * number for number in range(math.ceil(low / step), math.floor(high / step) + 1)]
