"""The reference is what the code says, and every link leads somewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs import generate


def test_no_generated_page_is_stale() -> None:
    """P1, A76, A212: commands, errors, settings, spec, run.json and the schemas."""
    assert generate.stale() == [], "./lab docs"


def test_the_page_of_commands_is_what_they_print() -> None:
    """A212: a command shows the same help in whatever order it was asked before."""
    from click.testing import CliRunner

    from timelab.cli import cli

    printed = CliRunner().invoke(cli, ["log", "--help"], prog_name="timelab", terminal_width=100).output
    assert printed.strip() in generate.cli_page()


def test_no_link_between_pages_is_broken() -> None:
    assert generate.broken_links() == []


def test_a_broken_link_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "bench").mkdir()
    (tmp_path / "README.md").write_text("# A title\n[a](docs/b.md) [b](#a-title) [c](#none) [d](https://x.invalid/)\n")
    monkeypatch.setattr(generate, "ROOT", tmp_path)
    assert generate.broken_links() == ["README.md: docs/b.md", "README.md: #none (no such heading)"]


def test_every_page_that_the_sources_name_is_there() -> None:
    """A76, A103, A190, A205–A214, X4: in the staged folders."""
    for name in (
        "0-start/GETTING_STARTED.md",
        "1-build/IMPLEMENTATION_GUIDE.md",
        "2-use/WORKFLOW.md",
        "3-extend/EXTENSION_GUIDE.md",
        "reference/GLOSSARY.md",
        "reference/ARCHITECTURE.md",
        "reference/DECISIONS.md",
        "reference/SCHEMA_run.json.md",
        "reference/schemas/README.md",
        "context/COMPARISON_TO_TIME_2025.md",
        "DEVELOPMENT_WORKFLOW.md",
        "SOPS.md",
    ):
        assert (generate.ROOT / "docs" / name).stat().st_size > 0


def test_the_decisions_keep_their_numbers() -> None:
    """A216–A221, B75, X27: D001–D006 and ADR-017–ADR-022, then ours from T001."""
    text = (generate.ROOT / "docs/reference/DECISIONS.md").read_text()
    numbers = [line.split()[1] for line in text.splitlines() if line.startswith("## ")]
    assert numbers[:12] == [*(f"D00{n}" for n in range(1, 7)), *(f"ADR-0{n}" for n in range(17, 23))]
    assert numbers[12:] == [f"T{n:03d}" for n in range(1, len(numbers) - 11)]


def test_the_licence_is_whole() -> None:
    """A112: Apache-2.0."""
    text = (generate.ROOT / "LICENSE").read_text()
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text
