from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from tests.helpers import Lab
from timelab.store import csvlog
from timelab.store.index import open_index
from timelab.store.recover import reindex

DAY = "2026/11/20"


def rows_of(lab: Lab) -> list[list[str]]:
    text = (lab.root / DAY / "runs.csv").read_text(encoding="utf-8")
    assert "\r" not in text
    return list(csv.reader(io.StringIO(text)))


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t", "\r"])
def test_a_cell_that_starts_a_formula_is_escaped(sign: str) -> None:
    assert csvlog.escape_cell(f"{sign}SUM(A1)") == f"'{sign}SUM(A1)"
    assert csvlog.escape_cell("a" + sign) == "a" + sign
    assert csvlog.escape_cell(None) == ""


def test_each_run_is_a_line_with_the_columns_of_the_design(lab: Lab) -> None:
    """A79, A94, A163."""
    run = lab.record(0, model="builtin:extractive@1")
    header, row = rows_of(lab)
    columns = "run_id,timestamp_start,timestamp_end,kind,name,spec_path,git_sha,status,model,seed,artifacts_path"
    assert ",".join(header) == columns
    assert row[0] == run.run_id
    assert row[5:10] == ["specs/echo.yaml", lab.git_sha, "ok", "builtin:extractive@1", "7"]
    assert (lab.root / row[10] / "run.json").read_bytes() == run.manifest_bytes


def test_odd_spec_paths_survive_quoting(lab: Lab) -> None:
    odd = ['=cmd|"calc", x.yaml', "ä ö,日本.yaml", "@a.yaml"]
    for number, path in enumerate(odd):
        lab.record(number, spec_path=path)
    assert [row[5] for row in rows_of(lab)[1:]] == ["'" + odd[0], odd[1], "'" + odd[2]]


def test_rows_stand_in_order_of_start_whatever_the_order_of_arrival(lab: Lab) -> None:
    for number in (5, 1, 9, 3, 7):
        lab.record(number)
    starts = [row[1] for row in rows_of(lab)[1:]]
    assert starts == sorted(starts)
    assert len(starts) == 5


@pytest.mark.parametrize("tail_bytes", [1, 600, 900, 1 << 16])
def test_a_row_from_anywhere_is_put_where_it_belongs(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, tail_bytes: int
) -> None:
    monkeypatch.setattr(csvlog, "_TAIL_BYTES", tail_bytes)
    for number in (10, 11, 14, 1, 12, 15, 0):
        lab.record(number)
        before = (lab.root / DAY / "runs.csv").read_bytes()
    with open_index(lab.repo) as index:
        csvlog.update(index, lab.root, DAY, index.select()[1:4], room=lab.repo.timelab_dir)
    assert (lab.root / DAY / "runs.csv").read_bytes() == before
    reindex(lab.repo)
    assert (lab.root / DAY / "runs.csv").read_bytes() == before


def test_a_file_that_somebody_changed_is_made_anew(lab: Lab) -> None:
    lab.record(0)
    path = lab.root / DAY / "runs.csv"
    path.write_bytes(path.read_bytes() + b"my own remark\n")
    lab.record(1)
    assert len(rows_of(lab)) == 3
    path.unlink()
    lab.record(2)
    assert len(rows_of(lab)) == 4


def test_a_link_is_not_written_through(lab: Lab, tmp_path: Path) -> None:
    lab.record(0)
    path, victim = lab.root / DAY / "runs.csv", tmp_path / "victim"
    victim.write_text("mine")
    path.unlink()
    path.symlink_to(victim)
    lab.record(1)
    assert victim.read_text() == "mine"
