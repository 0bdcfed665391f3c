from __future__ import annotations

import pytest

from tests.compiler.device.kits import stand_in
from voxc.backends.tensorrt.device.scales import scaled_tensors, scales_from
from voxc.compiler.core.device_errors import BundleError

CACHE = b"TRT-8201-EntropyCalibration2\nx: 3c010a14\na: b: 3c010a14\n"


def test_tensors_with_scales() -> None:
    assert scaled_tensors(CACHE) == {"x", "a: b"}


@pytest.mark.parametrize(("version", "number"), [("8.5.2.2", b"8502"), ("10.3.0", b"100300")])
def test_scales_have_the_header_of_their_reader(monkeypatch: pytest.MonkeyPatch, version: str, number: bytes) -> None:
    scales = scales_from(stand_in(monkeypatch, version), CACHE)
    assert scales.read_calibration_cache() == CACHE.replace(b"8201", number)
    assert scales.get_batch(["x"]) is None


@pytest.mark.parametrize("header", [b"", b"TRT-x-EntropyCalibration2", b"TRT-8201-MinMaxCalibration\n"])
def test_what_is_no_cache(monkeypatch: pytest.MonkeyPatch, header: bytes) -> None:
    with pytest.raises(BundleError, match="a calibration cache begins with TRT-8201-EntropyCalibration2, not"):
        scales_from(stand_in(monkeypatch, "8.2.1.8"), header)
