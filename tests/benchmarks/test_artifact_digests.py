from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.mark.parametrize(("text", "message"), [(None, "cannot be read"), ("{", "not a record of digests")])
def test_a_file_without_a_record_is_one_line(
    run_script: Callable[..., None], tmp_path: Path, text: str | None, message: str
) -> None:
    file = tmp_path / "digests.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(SystemExit) as caught:
        run_script("artifact_digests", "compare", file)
    (line,) = str(caught.value.code).splitlines()
    assert line.startswith(f"artifact_digests: {file}: {message}")
