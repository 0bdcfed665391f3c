from __future__ import annotations

import sys
from importlib import util

import pytest

from voxc.compiler.core.device_errors import SettingError
from voxc.compiler.device.agent.runtimes.mlx import Mlx

TARGET = {"threads": None, "capabilities": {}}

pytestmark = pytest.mark.skipif(util.find_spec("mlx") is None, reason="mlx is not installed (pip install 'mlx[cpu]')")


def test_settings_are_those_of_mlx() -> None:
    assert Mlx(TARGET, None, "CPU_ONLY").settings == {"device": "cpu"}
    with pytest.raises(SettingError, match="compute units ALL: MLX has CPU_ONLY, CPU_AND_GPU"):
        Mlx(TARGET, None, "ALL")
    with pytest.raises(SettingError, match="threads 2: mlx chooses its threads itself"):
        Mlx(TARGET, 2, None)


@pytest.mark.skipif(sys.platform == "darwin", reason="has a GPU")
def test_a_gpu_that_is_not_there_is_refused() -> None:
    with pytest.raises(SettingError, match="MLX has no GPU on this machine"):
        Mlx(TARGET, None, "CPU_AND_GPU")
