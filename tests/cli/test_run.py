"""`timelab run`: a spec now, and every version without a record."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.notebook import BAD, HELLO, Notebook
from tests.lab import make_lab
from timelab import queue
from timelab.git.repo import discover
from timelab.names import Oid
from timelab.trust import open_allow_list


def test_a_run_prints_the_absolute_paths_of_its_results(notebook: Notebook) -> None:
    """A150: as data on stdout; the talk is on stderr."""
    said = notebook.timelab("run", "specs/hello.yaml")
    assert said.code == 0
    assert said.out == "ROOT/YYYY/MM/DD/ai-team/artifacts/HHMMSS-hello-ID8/output/hello.txt\n"
    assert said.err == "timelab: ID8 hello ok in TOOK\n"
    assert Path(said.raw.strip()).read_text() == "hallo\n"


def test_a_failed_run_is_70_and_points_to_its_record(notebook: Notebook) -> None:
    """A225, A26: it is recorded like any other."""
    said = notebook.timelab("run", "specs/bad.yaml")
    assert said.code == 70
    assert said.out == "ROOT/YYYY/MM/DD/ai-team/artifacts/HHMMSS-bad-ID8\n"
    assert said.err.splitlines() == [
        "timelab: ID8 bad failed in TOOK",
        "timelab: exit-status: the command ended with 3",
        "  trouble",
    ]
    assert json.loads((Path(said.raw.strip()) / "run.json").read_bytes())["status"] == "failed"


def test_an_invalid_spec_is_65_and_recorded(notebook: Notebook) -> None:
    """A224, A32: one line says where and what."""
    notebook.write("specs/odd.yaml", HELLO.replace("argv", "agrv"))
    said = notebook.timelab("run", "specs/odd.yaml")
    assert said.code == 65
    assert said.err.splitlines()[1] == "timelab: spec: specs/odd.yaml:4:1: /agrv: unknown key"
    assert notebook.runs()[0]["status"] == "invalid"


def test_json_names_run_status_and_folder(notebook: Notebook) -> None:
    ran = notebook.json("ran", "run", "specs/hello.yaml")
    assert ran["status"] == "ok"
    assert (Path(ran["folder"]) / "run.json").is_file()
    assert notebook.json("ran", "run", "specs/bad.yaml", code=70)["status"] == "failed"
    assert notebook.json("ran", "ai", "specs/hello.yaml")["status"] == "ok"


def test_a_pinned_model_that_does_not_match_is_65_whoever_asks(notebook: Notebook) -> None:
    """Design 2, 6: by name, as what is pending, and as what the queue holds."""
    spec = "timelab: 1\nkind: llm\nmodel: 'builtin:extractive@1@sha256:{}'\nprompt: Say it in 1 sentence. One. Two.\n"
    notebook.commit({"specs/pin.yaml": spec.format("0" * 64)})
    repo = discover(notebook.root)
    open_allow_list(repo).trust(repo)
    open_allow_list(repo).allow_tree(repo, Oid(notebook.git("rev-parse", "HEAD^{tree}")))
    (outcome,) = notebook.json("pending", "run", "--pending", "HEAD", code=65)
    assert (outcome["status"], outcome["error_slug"]) == ("refused", "model-mismatch")
    assert notebook.timelab("run", "specs/pin.yaml").code == 65
    commit = notebook.commit({"specs/pin.yaml": spec.format("1" * 64)})
    open_allow_list(repo).allow_tree(repo, Oid(notebook.git("rev-parse", "HEAD^{tree}")))
    queue.enqueue(repo, "allow", commit=Oid(commit))
    assert notebook.timelab("work").code == 65


def test_commit_first_gives_the_record_a_commit(notebook: Notebook) -> None:
    notebook.write("specs/new.yaml", HELLO)
    notebook.write("unrelated.txt", "stays as it is\n")
    notebook.git("add", "unrelated.txt")
    assert notebook.timelab("run", "--commit", "specs/new.yaml").code == 0
    row = notebook.runs()[0]
    assert (row["git_sha"], row["dirty"]) == (notebook.git("rev-parse", "HEAD"), False)
    assert notebook.git("show", "--format=%s", "--name-only", "HEAD").split() == ["spec:", *["specs/new.yaml"] * 2]
    assert notebook.git("status", "--porcelain", "unrelated.txt") == "A  unrelated.txt"


def test_commit_first_commits_nothing_that_the_check_refuses(notebook: Notebook) -> None:
    """A188: as `check --staged` would; nor does the token come into the index or an object."""
    token = "ghp_" + "a1B2c3D4e5F6" * 3
    before = (notebook.git("rev-parse", "HEAD"), len(notebook.runs()))
    for text, words in (
        (HELLO + f"description: {token}\n", ":5:1: holds a secret"),
        (HELLO + "inputs: [later.csv]\n", ":5:10: /inputs/0: no file of the commit fits 'later.csv'"),
        (HELLO.replace("argv", "agrv"), ":4:1: /agrv: unknown key"),
    ):
        notebook.write("specs/new.yaml", text)
        notebook.write("later.csv", "not committed\n")
        said = notebook.timelab("run", "--commit", "specs/new.yaml")
        assert (said.code, said.out) == (65, "")
        assert said.err.startswith(f"timelab: specs/new.yaml{words}")
    assert (notebook.git("rev-parse", "HEAD"), len(notebook.runs())) == before
    assert token not in notebook.git("cat-file", "--batch-all-objects", "--batch")


def test_commit_first_runs_the_spec_once_beside_the_hook(tmp_path: Path) -> None:
    """Design 3: our own hook starts no second run; a hook that was there before is heard."""
    lab = make_lab(tmp_path / "lab", init=False)
    pre_commit = lab.root / ".git/hooks/pre-commit"
    pre_commit.parent.mkdir(exist_ok=True)
    pre_commit.write_text("#!/bin/sh\n[ ! -e refuse ] || { echo 'not today' >&2; exit 1; }\n")
    pre_commit.chmod(0o755)
    lab.timelab("init")
    lab.write({"specs/a.yaml": HELLO, "refuse": ""})
    assert "not today" in lab.timelab("run", "--commit", "specs/a.yaml", code=70).err
    (lab.root / "refuse").unlink()
    lab.timelab("run", "--commit", "specs/a.yaml")
    assert [(row["git_sha"], row["dirty"]) for row in lab.log()] == [(lab.git("rev-parse", "HEAD"), False)]
    assert queue.entries(discover(lab.root)) == []
    assert "nothing to run" in lab.timelab("run", "--pending").err


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ([], "timelab: name a spec file, or say --pending\nhint: timelab run --help\n"),
        (["specs/helo.yaml"], "timelab: no such file: specs/helo.yaml\nhint: did you mean specs/hello.yaml?\n"),
        (["none/at/all"], "timelab: no such file: none/at/all\nhint: timelab run --help\n"),
        (["specs/hello.yaml/x"], "timelab: no such file: specs/hello.yaml/x\nhint: timelab run --help\n"),
        (["specs"], "timelab: specs is a folder\nhint: name a spec in it, or say --pending\n"),
        (["."], "timelab: . is a folder\nhint: name a spec in it, or say --pending\n"),
        ([""], "timelab: . is a folder\nhint: name a spec in it, or say --pending\n"),
        (["../x.yaml"], "timelab: ../x.yaml is outside of the repository\nhint: timelab run --help\n"),
        (["/etc/hostname"], "timelab: /etc/hostname is outside of the repository\nhint: timelab run --help\n"),
        (["--retry", "specs/bad.yaml"], "timelab: --retry goes with --pending\nhint: timelab run --help\n"),
        (["--wiat", "x"], "timelab: no such option '--wiat'"),
        (["a", "b"], "timelab: got unexpected extra argument (b)\nhint: timelab run --help\n"),
    ],
    ids=str,
)
def test_a_wrong_call_is_64_with_one_line_and_a_hint(notebook: Notebook, args: list[str], words: str) -> None:
    """A223, T12."""
    before = len(notebook.runs())
    said = notebook.timelab("run", *args)
    assert (said.code, said.out) == (64, "")
    assert said.err.startswith(words)
    assert len(said.err.splitlines()) == 2
    assert len(notebook.runs()) == before


def test_a_link_is_not_followed(notebook: Notebook) -> None:
    (notebook.root / "specs/link.yaml").symlink_to("/etc/hostname")
    said = notebook.timelab("run", "specs/link.yaml")
    assert (said.code, said.err) == (
        65,
        "timelab: specs/link.yaml: is a link, or lies behind one\nhint: name the file itself\n",
    )


def test_no_git_repository_is_a_wrong_call(tmp_path: Path) -> None:
    said = Notebook(tmp_path).timelab("run", "x.yaml")
    assert (said.code, said.err) == (
        64,
        "timelab: not a git repository, nor any folder above\nhint: git init\n",
    )


def allow(notebook: Notebook) -> None:
    repo = discover(notebook.root)
    allowed = open_allow_list(repo)
    allowed.trust(repo)
    allowed.allow_tree(repo, Oid(notebook.git("rev-parse", "HEAD^{tree}")))


def test_pending_says_when_there_is_nothing(notebook: Notebook) -> None:
    said = notebook.timelab("run", "--pending")
    assert (said.code, said.out) == (0, "")
    assert said.err == "timelab: nothing to run, 2 spec versions have a record\n"


def test_pending_holds_what_is_not_allowed_and_runs_what_is(notebook: Notebook) -> None:
    notebook.commit({"specs/new.yaml": HELLO + "tags: [new]\n"})
    said = notebook.timelab("run", "--pending")
    assert (said.code, said.out) == (0, "")
    words = "specs/new.yaml not allowed yet: timelab allow specs/new.yaml"
    assert said.err == f"timelab: specs/new.yaml held: {words}\n"
    (held,) = [each for each in notebook.json("pending", "run", "--pending") if each["what"] == "held"]
    assert (held["path"], held["reason"], held["run_id"]) == ("specs/new.yaml", words, None)

    allow(notebook)
    said = notebook.timelab("run", "--pending")
    assert said.out == "ROOT/YYYY/MM/DD/ai-team/artifacts/HHMMSS-new-ID8\n"
    assert said.err == "timelab: ID8 specs/new.yaml ok\n"
    assert {each["what"] for each in notebook.json("pending", "run", "--pending")} == {"ran-before"}


def test_retry_runs_again_what_never_went_well(notebook: Notebook) -> None:
    allow(notebook)
    said = notebook.timelab("run", "--pending", "--retry")
    assert said.code == 70
    assert said.err == "timelab: ID8 specs/bad.yaml failed: the command ended with 3\n  trouble\n"
    assert [row["name"] for row in notebook.runs()][:2] == ["bad", "hello"]


def test_pending_that_failed_says_how_to_try_again(notebook: Notebook) -> None:
    notebook.commit({"specs/bad2.yaml": BAD + "tags: [two]\n", "specs/wrong.yaml": "timelab: 1\n"})
    allow(notebook)
    said = notebook.timelab("run", "--pending", "HEAD")
    assert said.code == 70
    assert said.err.splitlines()[-1] == "hint: to run again what failed: timelab run --pending --retry HEAD"
    assert "hint" not in notebook.timelab("run", "--pending").err
    assert "hint" not in notebook.timelab("run", "--pending", "--retry").err


def test_pending_takes_a_range(notebook: Notebook) -> None:
    allow(notebook)
    notebook.commit({"specs/one.yaml": HELLO + "tags: [one]\n"})
    notebook.commit({"specs/two.yaml": BAD + "tags: [two]\n"})
    allow(notebook)
    assert notebook.timelab("run", "--pending", "HEAD~2..HEAD~1").code == 0
    assert notebook.runs()[0]["name"] == "one"
    assert notebook.timelab("run", "--pending", "HEAD").code == 70
    said = notebook.timelab("run", "--pending", "HEAD~99..HEAD")
    assert said.code == 64
    assert said.err.startswith("timelab: no such range: 'HEAD~99..HEAD'")


def test_a_bare_repository_has_no_files_to_run(notebook: Notebook, tmp_path: Path) -> None:
    notebook.git("clone", "-q", "--mirror", str(notebook.root), str(tmp_path / "bare.git"))
    said = Notebook(tmp_path / "bare.git").timelab("run", "specs/hello.yaml")
    assert (said.code, said.err) == (
        64,
        "timelab: a bare repository has no files to run\nhint: timelab run --pending RANGE\n",
    )
