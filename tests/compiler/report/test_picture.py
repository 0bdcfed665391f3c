from __future__ import annotations

import math

import pytest

from voxc.compiler.report.picture import LEAST_RADIUS, MOST_RADIUS, Point, box_of, draw
from voxc.compiler.report.table import Cell


def bundle(name: str, latency: float | None, snr: float | None, size: float, evidence: str = "host") -> dict[str, Cell]:
    def cell(value: float | None, worth: str | None) -> Cell:
        return Cell("-", "why") if value is None else Cell(f"{value:g}", "how", worth, value=value)

    return {
        "target": Cell(name, ""), "latency": cell(latency, evidence), "SNR": cell(snr, "host"), "size": cell(size, None)
    }  # fmt: skip


ROWS = [
    bundle("onnxruntime-cpu", 97.9, 113.0, 12.9e6),
    bundle("tflite-int8", 23.8, 30.9, 8.45e6),
    bundle("jetson-nano", 13.0, 56.1, 13.1e6, "estimate"),
    bundle("jetson-orin-nano-jp5", 13.0, 56.1, 13.1e6, "estimate"),
    bundle("apple-mlx", None, 54.1, 6.7e6),
    bundle("apple-ane", None, 54.6, 8.23e6),
    bundle("broken", 5.0, None, 1e6),
]
SIZES = [(760.0, 380.0), (340.0, 360.0)]


def by_name(width: float, height: float) -> dict[str, Point]:
    picture = draw(ROWS, width, height)
    assert picture is not None
    return {point.label: point for point in picture.points}


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_places_are_those_of_the_numbers(width: float, height: float) -> None:
    picture = draw(ROWS, width, height)
    assert picture is not None
    for point in picture.points:
        if point.kind != "untimed":
            share = (point.x - picture.across.start) / (picture.across.end - picture.across.start)
            logarithm = picture.across.low + share * (picture.across.high - picture.across.low)
            assert math.isclose(10**logarithm, point.latency.value or 0)
        share = (point.y - picture.up.start) / (picture.up.end - picture.up.start)
        assert math.isclose(picture.up.low + share * (picture.up.high - picture.up.low), point.snr.value or 0)
        assert LEAST_RADIUS <= point.radius <= MOST_RADIUS
        assert math.isclose(point.radius**2 / MOST_RADIUS**2, (point.size.value or 0) / 13.1e6)


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_labels_do_not_cover_each_other_and_stay_inside(width: float, height: float) -> None:
    points = by_name(width, height).values()
    boxes = [box_of(point.label, point.anchor, point.text_x, point.text_y) for point in points]
    assert not any(box.overlaps(other) for n, box in enumerate(boxes) for other in boxes[:n])
    assert all(box.left >= 0 and box.right <= width and box.top >= 0 and box.bottom <= height for box in boxes)


def test_what_has_no_time_stands_aside_and_what_has_no_snr_is_named() -> None:
    picture = draw(ROWS, *SIZES[0])
    assert picture is not None
    assert picture.strip is not None
    points = {point.label: point for point in picture.points}
    assert points["apple-mlx"].x > picture.strip > points["onnxruntime-cpu"].x
    assert points["apple-mlx"].kind == "untimed"
    assert points["jetson-nano"].kind == "estimate"
    assert picture.missing == ("broken",)


def test_without_times_or_numbers() -> None:
    picture = draw(ROWS[4:6], *SIZES[0])
    assert picture is not None
    assert {point.kind for point in picture.points} == {"untimed"}
    assert draw(ROWS[6:], *SIZES[0]) is None
    single = draw(ROWS[:1], *SIZES[0])
    assert single is not None
    assert single.strip is None
    assert single.across.ticks()
    assert single.up.ticks()
