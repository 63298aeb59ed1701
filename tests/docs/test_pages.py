"""Every page that tells a reader what to type is typed here."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from docs.blocks import ROOT, Block, blocks, normalise, page_env, run_page, steps

PAGES = [
    "README.md",
    "docs/0-start/GETTING_STARTED.md",
    "docs/2-use/WORKFLOW.md",
    "docs/2-use/PROVIDERS.md",
    "docs/3-extend/EXTENSION_GUIDE.md",
    "docs/1-build/IMPLEMENTATION_GUIDE.md",
    "docs/SOPS.md",
]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_does_what_it_says(name: str, tmp_path: Path) -> None:
    """A205, A207, A208, A215, A238: every block runs, every recording is what the commands print."""
    wrong, _ = run_page((ROOT / name).read_text(encoding="utf-8"), tmp_path, page_env(tmp_path, os.environ))
    assert not wrong, "\n\n".join([*wrong, f"if this is as it should be: .venv/bin/python -m docs.record {name}"])


@pytest.mark.parametrize("name", ["README.md", "docs/0-start/GETTING_STARTED.md", "docs/2-use/WORKFLOW.md"])
def test_a_guide_has_blocks_to_run(name: str) -> None:
    assert list(blocks((ROOT / name).read_text(encoding="utf-8")))


def test_a_session_is_read_command_by_command() -> None:
    body = "$ cat > a <<END\n> one\n> END\n$ cat a\none\n\n$ true\n"
    assert [(s.command, s.printed) for s in steps(Block("console", body, 0, len(body), 1))] == [
        ("cat > a <<END\none\nEND", ""),
        ("cat a", "one"),
        ("true", ""),
    ]


def test_a_changed_output_is_found(tmp_path: Path) -> None:
    wrong, fresh = run_page("```console\n$ echo two\none\n```\n", tmp_path, page_env(tmp_path, os.environ))
    assert len(wrong) == 1
    assert fresh == "```console\n$ echo two\ntwo\n```\n"


def test_a_failing_block_is_found(tmp_path: Path) -> None:
    wrong, _ = run_page("```sh\nfalse\n```\n", tmp_path, page_env(tmp_path, os.environ))
    assert wrong[0].startswith("line 1: exit 1")


def test_ids_and_times_do_not_count() -> None:
    one = "3fa2c1d9 ok 12:00:01 340 ms 2026/11/20/ai-team/artifacts/120001-haiku-3fa2c1d9"
    two = "aabbccd1 ok 23:59:59 1.2 s 2027/01/02/ai-team/artifacts/235959-haiku-aabbccd1"
    assert normalise(one) == normalise(two)
    assert normalise(one) != normalise(one.replace("ok", "failed"))
