from __future__ import annotations

from pathlib import Path

from timelab.store import layout


def test_run_folder_is_dated_by_the_utc_day_and_named_by_time_name_and_id() -> None:
    """A7, A77, A81, A86."""
    path = layout.folder_of("2026-11-20T10:23:00.123456Z", "haiku", "a" * 64)
    assert path == "2026/11/20/ai-team/artifacts/102300-haiku-aaaaaaaa"
    assert layout.day_of("2026-11-20T10:23:00.123456Z") == "2026/11/20"


def test_mine_and_summ_live_under_the_analyzer() -> None:
    """A83, A90."""
    assert layout.folder_of("2026-11-20T10:23:00.000000Z", "m", "b" * 64, "mine").startswith(
        "2026/11/20/analyzer/outputs/"
    )


def test_folder_pattern_is_the_inverse_of_folder_of() -> None:
    path = layout.folder_of("2026-11-20T10:23:00.123456Z", "a-b.c_d-12345678", "c" * 64)
    match = layout.RUN_FOLDER.fullmatch(path)
    assert match is not None
    assert match["name"] == "a-b.c_d-12345678"
    assert match["id"] == "c" * 8
    assert layout.RUN_FOLDER.fullmatch("../" + path) is None


def test_bare_repository_has_no_folder() -> None:
    assert layout.run_folder(None, "x") is None
    assert layout.run_folder(Path("/r"), "x/y") == Path("/r/x/y")
