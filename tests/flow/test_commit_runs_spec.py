"""The main job: a commit runs its specs, and git itself shows where the results came from."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.lab import ASK, FAILING, HELLO, Lab, make_lab, sha256


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """Returns a user's repository with timelab set up."""
    return make_lab(tmp_path / "a user's repository")


def test_a_commit_with_two_specs_gives_two_notes_two_folders_and_both_in_log(lab: Lab) -> None:
    """A6, A48, A152, A161, D1, D2, D5, D6, D8, T9: one failing, one fine; git shows both, byte for byte."""
    commit = lab.commit({"specs/hello.yaml": HELLO, "specs/bad.yaml": FAILING})

    lines = lab.git("notes", "show").splitlines()
    assert len(lines) == 2
    by_name = {json.loads(line)["name"]: line for line in lines}
    assert {name: json.loads(line)["status"] for name, line in by_name.items()} == {"hello": "ok", "bad": "failed"}
    for name, line in by_name.items():
        assert lab.git("notes", "show", f"HEAD:specs/{name}.yaml") == line
        record = json.loads(line)
        assert record["git_sha"] == commit
    rows = {row["name"]: row for row in lab.log()}
    assert set(rows) == {"hello", "bad"}
    for name, row in rows.items():
        run_json = (lab.folder(row) / "run.json").read_bytes()
        assert run_json == by_name[name].encode() + b"\n"
    assert (lab.folder(rows["hello"]) / "output/hello.txt").read_text() == "hello\n"
    assert (lab.folder(rows["bad"]) / "logs/stderr.txt").read_text() == "trouble\n"
    assert rows["bad"]["exit_code"] == 3


def test_jq_reads_the_note_and_four_strings_give_the_run_id(lab: Lab) -> None:
    """A41–A47, A51–A76, G5: anybody can recompute the run id with printf and sha256sum."""
    lab.commit({"specs/hello.yaml": HELLO})

    (record,) = lab.note()
    parts = [record["spec"]["sha256"], record["git_sha"], record["flake_lock_sha256"] or "", record["timestamp_start"]]
    shown = subprocess.run(
        ["sh", "-c", 'printf %s%s%s%s "$@" | sha256sum', "sh", *parts], capture_output=True, text=True, check=True
    )
    assert shown.stdout.split()[0] == record["run_id"] == sha256("".join(parts))
    assert record["spec"]["sha256"] == hashlib.sha256(HELLO.encode()).hexdigest()
    assert record["spec"]["blob"] == lab.git("rev-parse", "HEAD:specs/hello.yaml")
    assert record["git_tree"] == lab.git("rev-parse", "HEAD^{tree}")


def test_the_folder_is_dated_complete_and_latest_points_to_it(lab: Lab) -> None:
    """A24, A77, A79, A81, A86–A89, A94, A163, A164, G2, G4: folder, runs.csv, day page and latest."""
    lab.commit({"specs/hello.yaml": HELLO})

    (row,) = lab.log()
    folder = lab.folder(row)
    stamp = row["timestamp_start"]
    assert row["artifacts_path"].startswith(stamp[:10].replace("-", "/") + "/ai-team/artifacts/")
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert {"run.json", "input/spec.yaml", "output/hello.txt", "logs/stdout.txt", "logs/stderr.txt"} <= files
    assert json.loads((lab.root / "latest/run.json").read_bytes())["run_id"] == row["run_id"]
    day = folder.parents[2]
    csv = (day / "runs.csv").read_text().splitlines()
    assert csv[0] == (
        "run_id,timestamp_start,timestamp_end,kind,name,spec_path,git_sha,status,model,seed,artifacts_path"
    )
    assert csv[1].startswith(row["run_id"])
    assert row["run_id"][:8] in (day / "README.md").read_text()
    untracked = lab.git("status", "--porcelain", "-uall")
    assert "latest" not in untracked and "runs.csv" not in untracked


def test_a_commit_without_a_spec_runs_nothing(lab: Lab) -> None:
    """A10: nothing is recorded that nobody asked for."""
    lab.commit({"notes.txt": "no spec\n"})
    assert lab.log() == []
    assert lab.note() == []


def test_the_commit_returns_at_once_and_watch_waits(lab: Lab) -> None:
    """A151, D2: the hook only queues; `timelab watch` prints the outcome when it is there."""
    lab.commit({"specs/slow.yaml": 'timelab: 1\nkind: command\nargv: [sleep, "1.5"]\n'}, wait=False)
    said = lab.timelab("watch", "--timeout", "60")
    assert "slow" in said.out or lab.log()
    assert [row["status"] for row in lab.log()] == ["ok"]


def test_results_do_not_start_another_run_when_they_are_committed(lab: Lab) -> None:
    """T8, A238: committing the dated folder is an ordinary commit."""
    lab.commit({"specs/hello.yaml": HELLO})
    lab.git("add", "-A")
    lab.git("commit", "-q", "-m", "feat: experiment with hello")
    assert len(lab.log()) == 1
    assert lab.timelab("verify").code == 0


def test_the_exit_status_of_a_failed_run_stays_out_of_git_commit_but_is_recorded(lab: Lab) -> None:
    """T4: git ignores what post-commit returns; note, log and status tell."""
    lab.write({"specs/bad.yaml": FAILING})
    lab.git("add", "-A")
    lab.git("commit", "-q", "-m", "bad")
    (record,) = lab.note()
    assert record["status"] == "failed"
    assert record["exit_code"] == 3
    assert "failed" in lab.timelab("status").out


def test_an_llm_spec_answers_each_case_in_order(lab: Lab) -> None:
    """A34–A40, A65–A67, A74, A87, A158–A160: prompt, cases, parameters and a drawn seed are recorded."""
    cases = '{"text": "Cats sleep all day. Dogs bark."}\n{"text": "Rain falls in spring. Snow falls in winter."}\n'
    spec = "timelab: 1\nkind: llm\nmodel: builtin:extractive@1\nparams: {temperature: 0.2, max_tokens: 50}\n"
    spec += 'prompt: "Summarise in 1 sentence.\\n\\n{{ text }}"\ncases: data/cases.jsonl\n'
    lab.commit({"data/cases.jsonl": cases, "specs/ask.yaml": spec})

    (record,) = lab.note()
    assert record["status"] == "ok", record["error"]
    assert record["model"]["name"] == "builtin:extractive@1"
    assert record["model"]["hash"].startswith("sha256:")
    assert record["model"]["params"]["temperature"] == 0.2
    assert isinstance(record["model"]["params"]["seed"], int) and record["determinism"]["seed_drawn"] is True
    assert [item["path"] for item in record["inputs"]] == ["data/cases.jsonl"]
    (row,) = lab.log()
    answers = [json.loads(line) for line in (lab.folder(row) / "output/output.jsonl").read_text().splitlines()]
    assert [answer["input"]["text"][:4] for answer in answers] == ["Cats", "Rain"]
    assert all(answer["output"] for answer in answers)


def test_an_invalid_spec_is_recorded_once_as_invalid(lab: Lab) -> None:
    """A32, A68, A153, A224, G3: `--no-verify` gets past the pre-commit check, not past the record."""
    lab.write({"specs/odd.yaml": "timelab: 1\nkind: comand\n"})
    lab.git("add", "-A")
    refused = subprocess.run(
        ["git", "commit", "-q", "-m", "odd"], cwd=lab.root, capture_output=True, text=True, check=False
    )
    assert refused.returncode != 0
    assert "specs/odd.yaml:2" in refused.stderr
    lab.git("commit", "-q", "--no-verify", "-m", "odd")
    (record,) = lab.note()
    assert record["status"] == "invalid"
    assert "specs/odd.yaml:2" in record["error"]["message"]
    lab.timelab("run", "--pending")
    assert len(lab.log()) == 1
    assert lab.timelab("verify").code == 0


def test_a_missing_prompt_file_is_one_line_of_the_spec(lab: Lab) -> None:
    """A40: what a spec names must be in the commit."""
    spec = "timelab: 1\nkind: llm\nmodel: builtin:extractive@1\nprompt_file: prompts/none.md\n"
    lab.write({"specs/ask.yaml": spec})
    lab.git("add", "-A")
    lab.git("commit", "-q", "--no-verify", "-m", "ask")
    (record,) = lab.note()
    assert record["status"] == "invalid"
    assert "prompts/none.md" in record["error"]["message"]


def test_a_run_by_hand_on_an_uncommitted_spec_is_dirty_and_keeps_its_bytes(lab: Lab) -> None:
    """X10, X11, A231: `timelab run FILE` works before the commit."""
    lab.write({"specs/draft.yaml": HELLO})
    said = lab.timelab("run", "specs/draft.yaml")
    assert Path(said.out.strip()).read_text() == "hello\n"
    (row,) = lab.log()
    assert row["dirty"] in (True, 1)
    assert (lab.folder(row) / "input/spec.yaml").read_text() == HELLO
    assert lab.timelab("verify").code == 0


def test_a_run_by_hand_before_the_first_commit(tmp_path: Path) -> None:
    """A41: no commit yet gives null in the manifest and nothing in the string."""
    root = tmp_path / "fresh"
    root.mkdir()
    lab = Lab(root)
    lab.git("init", "-q")
    lab.write({"specs/hello.yaml": HELLO})
    lab.timelab("run", "specs/hello.yaml")
    (row,) = lab.log()
    assert row["git_sha"] is None
    record = json.loads((lab.folder(row) / "run.json").read_bytes())
    assert record["run_id"] == sha256(record["spec"]["sha256"] + record["timestamp_start"])


def test_exit_codes_of_run(lab: Lab) -> None:
    """A222–A225, T12: 0 done, 64 the call, 65 the data, 70 the work."""
    lab.write({"specs/hello.yaml": HELLO, "specs/bad.yaml": FAILING, "specs/odd.yaml": "timelab: 1\n"})
    assert lab.timelab("run", "specs/hello.yaml").code == 0
    lab.timelab("run", "specs/none.yaml", code=64)
    lab.timelab("run", "--nonsense", code=64)
    lab.timelab("no-such-command", code=64)
    lab.timelab("run", "specs/odd.yaml", code=65)
    lab.timelab("run", "specs/bad.yaml", code=70)


def test_absolute_artifact_paths_are_printed_after_a_run(lab: Lab) -> None:
    """A150, X14: and they never enter the record."""
    lab.write({"specs/hello.yaml": HELLO})
    said = lab.timelab("run", "specs/hello.yaml")
    path = Path(said.out.strip())
    assert path.is_absolute() and path.read_text() == "hello\n"
    assert str(lab.root) not in (lab.root / "latest/run.json").read_text()


def test_a_secret_in_an_output_never_reaches_git(lab: Lab) -> None:
    """A188, A236, G6: the run fails with path and line, without the file or the value."""
    planted = "AKIA" + "QYLPMN5HHHFPZAM2"
    script = f"printf 'one\\naws = {planted[:10]}\\n' > $TIMELAB_OUTPUT/a; printf '{planted[10:]}' > $TIMELAB_TMP/x; "
    script += "printf 'line\\nkey=%s%s\\n' " + f"{planted[:10]} {planted[10:]}" + " > $TIMELAB_OUTPUT/leak.txt"
    lab.commit({"specs/leak.yaml": json.dumps({"timelab": 1, "kind": "command", "argv": ["sh", "-c", script]})})
    (record,) = lab.note()
    assert record["status"] == "failed"
    assert record["error"]["slug"] == "secret-found"
    assert "leak.txt:2" in record["error"]["message"]
    for folder, _, files in os.walk(lab.root):
        for name in files:
            assert planted.encode() not in Path(folder, name).read_bytes(), name
    blobs = lab.git("cat-file", "--batch-all-objects", "--batch-check=%(objectname) %(objecttype)").splitlines()
    for line in blobs:
        oid, kind = line.split()
        if kind == "blob":
            assert planted not in lab.git("cat-file", "blob", oid)


def test_ask_with_the_short_form_takes_the_sources_literal_argument(lab: Lab) -> None:
    """A135, T1, A231: `just ai spec=path` passes the words `spec=path`."""
    lab.write({"2025/10/15/ai-team/specs/demo.yaml": ASK})
    lab.timelab("ai", "spec=2025/10/15/ai-team/specs/demo.yaml")
    assert [row["kind"] for row in lab.log()] == ["llm"]


def test_a_dated_spec_runs_by_its_commit(lab: Lab) -> None:
    """A29, A80: a file in YYYY/MM/DD/ai-team/specs is a spec even without a `timelab` key's help."""
    lab.commit({"2025/10/15/ai-team/specs/demo.json": json.dumps({"timelab": 1, "kind": "command", "argv": ["true"]})})
    assert [row["spec_path"] for row in lab.log()] == ["2025/10/15/ai-team/specs/demo.json"]


def test_somebody_elses_yaml_in_specs_is_ignored(lab: Lab) -> None:
    """Design 2: a file without a top-level `timelab` key is not ours."""
    lab.commit({"specs/openapi.yaml": "openapi: 3.1.0\ninfo: {title: x}\n"})
    assert lab.log() == []


def test_a_prompt_that_a_spec_names_wakes_it(lab: Lab) -> None:
    """Design 3: the trigger is the closure, so a changed prompt runs the spec again."""
    spec = "timelab: 1\nkind: llm\nmodel: builtin:extractive@1\nprompt_file: prompts/p.md\n"
    lab.commit({"specs/ask.yaml": spec, "prompts/p.md": "Summarise in 1 sentence. One fish swims. Two birds fly.\n"})
    lab.commit({"prompts/p.md": "Summarise in 1 sentence. One cat sleeps. Two dogs bark.\n"})
    assert [row["spec_path"] for row in lab.log()] == ["specs/ask.yaml"] * 2


def test_day_makes_the_tree_of_today_twice_the_same(lab: Lab) -> None:
    """A77–A85, A134, A139, A230: every room is there, and the notes are not overwritten."""
    made = Path(lab.timelab("day").out.strip())
    (made / "knowledge/notes.md").write_text("mine\n")
    lab.timelab("day")
    for room in ("ai-team/specs", "ai-team/artifacts", "analyzer/inputs", "analyzer/outputs", "knowledge/graph"):
        assert (made / room).is_dir()
    assert (made / "knowledge/notes.md").read_text() == "mine\n"
    assert (made / "README.md").is_file()


def test_a_replay_is_not_taken_for_the_first_run_of_a_version(lab: Lab) -> None:
    """Design 3, 7: `replay --at` meets a version that never ran; that version still runs by itself."""
    lab.commit({"specs/a.yaml": HELLO})
    lab.write({"specs/a.yaml": HELLO.replace("hello >", "hallo >")})
    lab.git("commit", "-q", "-a", "-m", "unseen", TIMELAB_HOOK="off")
    lab.timelab("replay", "last", "--at", "HEAD", code=65)
    assert len(lab.log()) == 2
    lab.timelab("allow", "specs/a.yaml")
    lab.timelab("run", "--pending")
    assert [row["replay_of"] is None for row in lab.log()].count(True) == 2
    assert lab.timelab("show", "specs/a.yaml", "--json").out.count('"replay_of":null') == 1
