from __future__ import annotations

import logging
import sys
import warnings

import pytest

from voxc.backends.coreml.sdk import LOGGER, fresh_names, mb, quiet


def chatter() -> None:
    print("told")
    print("told", file=sys.stderr)
    logging.getLogger(LOGGER).warning("told")
    warnings.warn("told", stacklevel=1)


def test_chatter_is_kept(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    with warnings.catch_warnings(record=True) as warned, quiet():
        chatter()
    assert (*capfd.readouterr(), caplog.text, warned) == ("", "", "", [])
    with warnings.catch_warnings(record=True) as warned:
        chatter()
    assert "told" in capfd.readouterr().out
    assert ("told" in caplog.text, len(warned)) == (True, 1)


def test_errors_pass_and_leave_the_logger_as_it_was() -> None:
    with pytest.raises(ValueError, match="no"), quiet():
        raise ValueError("no")
    assert not logging.getLogger(LOGGER).disabled


def test_names_are_counted_from_zero_and_the_count_is_put_back() -> None:
    before = mb.name_count
    with fresh_names():
        assert mb._get_free_name("a") == "a_0"
    with fresh_names():
        assert mb._get_free_name("a") == "a_0"
    assert mb.name_count is before
