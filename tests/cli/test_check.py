"""`timelab check`: exit code, lines on stdout, talk on stderr."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from jsonschema import Draft202012Validator

from tests.conftest import Git
from timelab.cli import cli
from timelab.schemas import schema

GOOD = "timelab: 1\nkind: command\nargv: [echo, hi]\n"


def check(repo: Path, *args: str, env: dict[str, str] | None = None) -> Result:
    result = CliRunner().invoke(cli, ["-C", str(repo), "check", *args], env=env)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


def put(repo: Path, path: str, text: str) -> None:
    (repo / path).parent.mkdir(parents=True, exist_ok=True)
    (repo / path).write_text(text)


def test_good_specs_are_counted(repo: Path) -> None:
    """A32: validated before anything runs."""
    put(repo, "specs/a.yaml", GOOD)
    put(repo, "2026/11/20/ai-team/specs/demo.json", '{"timelab": 1, "kind": "command", "argv": ["a"]}')
    put(repo, "specs/other.yaml", "openapi: 3\n")
    result = check(repo)
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr.splitlines() == [
        "specs/other.yaml: not a spec of timelab (no top-level timelab key), left alone",
        "timelab: 2 specs fine",
    ]


def test_each_problem_is_one_line_and_the_code_is_65(repo: Path) -> None:
    """A224: 65 is the data."""
    put(repo, "specs/a.yaml", GOOD + "timout_s: 5\ntags: 1\n")
    put(repo, "specs/b.yaml", GOOD + "inputs: [data/*.csv]\n")
    result = check(repo)
    assert result.exit_code == 65
    assert result.stdout.splitlines() == [
        "specs/a.yaml:4:1: /timout_s: unknown key (did you mean 'timeout_s'?)",
        "specs/a.yaml:5:7: /tags: must be a list, not the number 1",
        "specs/b.yaml:4:10: /inputs/0: no file of the commit fits 'data/*.csv' "
        "(paths are relative to the repository's root; is the file committed?)",
    ]
    assert result.stderr == "timelab: 3 wrong in 2 specs\n"


def test_json_is_what_its_schema_says(repo: Path) -> None:
    put(repo, "specs/a.yaml", GOOD + "tags: 1\n")
    result = check(repo, "--json")
    report = json.loads(result.stdout)
    Draft202012Validator(schema("check")).validate(report)
    assert result.exit_code == 65
    assert report == {
        "checked": 1,
        "problems": [
            {
                "path": "specs/a.yaml",
                "line": 4,
                "column": 7,
                "pointer": "/tags",
                "what": "must be a list, not the number 1",
                "hint": None,
            }
        ],
        "remarks": [],
    }


def test_a_path_is_a_spec_a_folder_stands_for_its_specs(repo: Path) -> None:
    put(repo, "specs/a/x.yaml", GOOD)
    put(repo, "specs/b/y.yaml", "timelab: 1\n")
    put(repo, "elsewhere.yaml", "a: 1\n")
    assert check(repo, "specs/a").exit_code == 0
    assert check(repo, "specs").exit_code == 65
    assert check(repo, ".").exit_code == 65
    assert check(repo, "elsewhere.yaml").stdout.startswith("elsewhere.yaml:1:1: /kind: is missing")
    assert check(repo, "none.yaml").exit_code == 64
    assert check(repo / "specs", "a/x.yaml").exit_code == 0


def test_outside_of_a_repository_a_file_can_be_checked(tmp_path: Path) -> None:
    put(tmp_path, "a.yaml", GOOD)
    assert check(tmp_path, "a.yaml").exit_code == 0
    assert check(tmp_path).exit_code == 64


def test_a_schema_file_that_a_spec_names_is_judged_too(repo: Path) -> None:
    put(repo, "specs/a.yaml", "timelab: 1\nkind: llm\nmodel: builtin:a\nprompt: x\nresponse_schema: answer.json\n")
    put(repo, "answer.json", '{\n  "type": "objct"\n}')
    result = check(repo)
    assert result.exit_code == 65
    assert result.stdout.startswith("answer.json:2:11: /type: not a JSON Schema")
    put(repo, "answer.json", '{"type": "object"}')
    assert check(repo).exit_code == 0


LLM = "timelab: 1\nkind: llm\nmodel: builtin:extractive@1\n"
CASES = '{"text": "a", "who": "b"}\n{"text": "c"}\n'


@pytest.mark.parametrize(
    ("spec", "files", "said"),
    [
        ("prompt: '{{ text }}'\ncases: c.jsonl\n", {"c.jsonl": CASES}, []),
        (
            "system: be brief\nprompt: 'say {{ text }} to {{ who }}'\ncases: c.jsonl\n",
            {"c.jsonl": CASES},
            [
                "specs/a.yaml:5:9: /prompt: case 2: {{ who }} is not in this case "
                "(it has: text; write \\{{ for '{{' itself)"
            ],
        ),
        (
            "messages:\n- {role: user, content: '{{ txt }}'}\ncases: c.csv\n",
            {"c.csv": "text\na\n"},
            [
                "specs/a.yaml:5:25: /messages/0/content: case 1: {{ txt }} is not in this case "
                "(it has: text; write \\{{ for '{{' itself)"
            ],
        ),
        (
            "prompt_file: p.txt\ncases: c.jsonl\n",
            {"c.jsonl": CASES, "p.txt": "no place\n"},
            [
                "specs/a.yaml:5:8: /cases: the prompt uses nothing of the cases "
                "(write {{ name }} into it; the cases have: text, who)"
            ],
        ),
        (
            "prompt: '{{ text }}'\n",
            {},
            [
                "specs/a.yaml:4:9: /prompt: {{ text }} is not known: the spec has no cases "
                "(it has: nothing; write \\{{ for '{{' itself)"
            ],
        ),
        (
            "prompt: '{{ text }}'\ncases: c.jsonl\n",
            {"c.jsonl": '{"text": "a"}\n{"text": }\n'},
            ["c.jsonl:2:1: not JSON: Expecting value: line 1 column 10 (char 9)"],
        ),
        (
            "prompt: x\ncases: cases.txt\n",
            {"cases.txt": "a\n"},
            ["cases.txt: cases must be .jsonl or .csv (one JSON object a line, or a header and rows)"],
        ),
        ("prompt_file: p.txt\n", {"p.txt": "any {{ braces }}\n"}, []),
        (
            "prompt_file: p.txt\n",
            {},
            ["specs/a.yaml:4:14: /prompt_file: no such file in the commit: 'p.txt' (git add p.txt)"],
        ),
        (
            "prompt: '{{ text }}'\ncases: c.jsonl\n",
            {},
            ["specs/a.yaml:5:8: /cases: no such file in the commit: 'c.jsonl' (git add c.jsonl)"],
        ),
    ],
)
def test_what_a_run_would_refuse_of_a_prompt_is_told_before(
    repo: Path, git: Git, spec: str, files: dict[str, str], said: list[str]
) -> None:
    """A32: cases, and the places of the prompt that they fill, are looked at before anything runs."""
    put(repo, "specs/a.yaml", LLM + spec)
    for path, text in files.items():
        put(repo, path, text)
    assert check(repo).stdout.splitlines() == said
    git("add", "-A", cwd=repo)
    for path in files:
        # With --staged the index counts, and nothing else.
        put(repo, path, "\n")
    result = check(repo, "--staged")
    assert (result.stdout.splitlines(), result.exit_code) == (said, 65 if said else 0)


def test_a_model_that_nobody_can_answer_for_is_told_before(repo: Path) -> None:
    """A39: a name that no provider will ever have is wrong, one that this timelab is without is a remark."""
    from timelab.check import CheckReport, Judges, Tree, check_spec

    put(repo, "specs/a.yaml", "timelab: 1\nkind: llm\nmodel: ollma:x\nfallback: [builtin:a, mine:b]\nprompt: x\n")
    result = check(repo)
    assert (result.exit_code, result.stdout.splitlines()) == (
        65,
        [
            "specs/a.yaml:3:8: /model: there is no provider 'ollma' (did you mean 'ollama'?)",
            "specs/a.yaml:4:23: /fallback/1: there is no provider 'mine' "
            "(known: builtin, recorded, ollama, llamacpp, openai)",
        ],
    )
    text = b"timelab: 1\nkind: llm\nmodel: openai:x\nfallback: [recorded:last]\nprompt: x\n"
    without = Judges(lambda spec, read, locate: [], lambda name: name in ("builtin", "recorded"))
    report = check_spec(text, "a.yaml", Tree((), lambda path: False, lambda path: None), without)
    assert isinstance(report, CheckReport) and report.problems == ()
    assert [f"{remark} ({remark.hint})" for remark in report.remarks] == [
        "a.yaml:3:8: /model: this timelab has no provider 'openai' (it has: builtin, recorded)"
    ]


@pytest.mark.parametrize(
    ("program", "is_good"),
    [("echo", True), ("/bin/echo", True), ("tools/a", True), ("./tools/a", True), ("tools/b", False), ("./a", False)],
)
def test_a_program_that_is_named_by_its_place_must_be_in_the_commit(repo: Path, program: str, is_good: bool) -> None:
    put(repo, "tools/a", "#!/bin/sh\n")
    put(repo, "specs/a.yaml", f"timelab: 1\nkind: command\nargv: [{program}, x]\n")
    result = check(repo)
    assert result.exit_code == (0 if is_good else 65)
    what = "the path is relative to the repository's root; a program of the shell has no slash"
    line = f"specs/a.yaml:3:8: /argv/0: no such file in the commit: '{program}' ({what})"
    assert result.stdout.splitlines() == ([] if is_good else [line])


def test_a_file_among_the_specs_that_is_none_is_told_of_and_left_alone(repo: Path, git: Git) -> None:
    left = "specs/x.yaml: not a spec of timelab (no top-level timelab key), left alone\n"
    put(repo, "specs/x.yaml", "argv: [echo]\n")
    for args in ((), ("specs",)):
        result = check(repo, *args)
        assert (result.exit_code, result.stdout, result.stderr) == (0, "", left)
    assert check(repo, "--staged").output == ""
    git("add", "-A", cwd=repo)
    result = check(repo, "--staged")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", left)
    for number in range(20):
        put(repo, f"specs/many/{number}.json", "{}\n")
    assert check(repo).stderr.splitlines()[-1] == "and 11 more like this"
    assert len(json.loads(check(repo, "--json").stdout)["remarks"]) == 21


def test_a_check_of_a_command_spec_loads_nothing_of_models(repo: Path) -> None:
    """S3: the hook before a commit waits for it."""
    import subprocess
    import sys

    put(repo, "specs/a.yaml", GOOD)
    look = "import sys; from timelab.cli import cli; cli.main(['check'], standalone_mode=False); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", look], cwd=repo, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "timelab.check" in loaded
    assert not [name for name in loaded if name.startswith(("timelab.executors", "timelab.run", "jsonschema"))]


def test_staged_looks_at_the_index_and_not_at_the_work_tree(repo: Path, git: Git) -> None:
    put(repo, "specs/a.yaml", "timelab: 1\n")
    git("add", "-A", cwd=repo)
    put(repo, "specs/a.yaml", GOOD)
    assert check(repo, "--staged").exit_code == 65
    git("add", "-A", cwd=repo)
    assert check(repo, "--staged").exit_code == 0


def test_staged_wants_the_named_files_staged_too(repo: Path, git: Git) -> None:
    put(repo, "specs/a.yaml", "timelab: 1\nkind: command\nscript: run.sh\n")
    put(repo, "run.sh", "true\n")
    git("add", "specs", cwd=repo)
    result = check(repo, "--staged")
    assert (result.exit_code, "/script: no such file" in result.stdout) == (65, True)
    git("add", "run.sh", cwd=repo)
    assert check(repo, "--staged").exit_code == 0


def test_staged_leaves_other_commits_alone(repo: Path, git: Git) -> None:
    assert check(repo, "--staged").exit_code == 0
    put(repo, "src/a.py", "x = 1\n")
    put(repo, "specs/broken.yaml", "timelab: [\n")
    git("add", "src", cwd=repo)
    result = check(repo, "--staged")
    assert (result.exit_code, result.output) == (0, "")


@pytest.mark.parametrize("path", ["secrets/key.txt", "secrets/deep/x", ".env", ".env.lab", "sub/.env.local"])
def test_secret_places_cannot_be_staged(repo: Path, git: Git, path: str) -> None:
    """A185, A187: secrets/ and .env* stay outside git."""
    put(repo, path, "NAME=value\n")
    git("add", "-f", path, cwd=repo)
    result = check(repo, "--staged")
    assert result.exit_code == 65
    assert result.stdout == (
        f"{path}: must not be committed (keep secrets outside git: git restore --staged -- {path})\n"
    )
    git("rm", "-q", "--cached", path, cwd=repo)
    assert check(repo, "--staged").exit_code == 0


@pytest.mark.parametrize("path", [".envrc", ".env.example", "src/secrets/a.py", "environment"])
def test_places_that_only_look_so_can_be_staged(repo: Path, git: Git, path: str) -> None:
    put(repo, path, "NAME=value\n")
    git("add", "-f", path, cwd=repo)
    assert check(repo, "--staged").exit_code == 0


def test_a_removed_secret_may_be_committed(repo: Path, git: Git) -> None:
    put(repo, ".env", "NAME=value\n")
    git("add", "-f", ".env", cwd=repo)
    git("commit", "-q", "-m", "by mistake", cwd=repo)
    git("rm", "-q", ".env", cwd=repo)
    assert check(repo, "--staged").exit_code == 0


def test_a_secret_in_a_staged_spec_is_refused_and_not_quoted(repo: Path, git: Git) -> None:
    """A188."""
    token = "ghp_" + "a1B2c3D4e5F6" * 3
    put(repo, "specs/a.yaml", f"timelab: 1\nkind: command\nargv: [curl, {token}]\n")
    git("add", "-A", cwd=repo)
    result = check(repo, "--staged")
    assert result.exit_code == 65
    assert result.stdout.startswith("specs/a.yaml:3:1: holds a secret")
    assert token not in result.output


def test_a_second_lock_is_refused(repo: Path, git: Git) -> None:
    """A11: one repository, one lock file."""
    put(repo, "sub/flake.lock", "{}")
    git("add", "-A", cwd=repo)
    assert check(repo, "--staged").exit_code == 0
    put(repo, "flake.lock", "{}")
    git("add", "-A", cwd=repo)
    for args in ((), ("--staged",)):
        result = check(repo, *args)
        assert (result.exit_code, result.stdout) == (
            65,
            "sub/flake.lock: is a second flake.lock (the one at the root pins everything)\n",
        )


@pytest.mark.parametrize("how", [["-a"], ["specs/a.yaml"]])
def test_a_commit_that_stages_by_itself_is_judged_by_what_it_stages(repo: Path, git: Git, how: list[str]) -> None:
    """`git commit -a` and `git commit FILE` hand their hooks another index than .git/index."""
    import sys

    put(repo, "specs/a.yaml", GOOD)
    git("add", "-A", cwd=repo)
    git("commit", "-q", "-m", "good", cwd=repo)
    put(repo, "specs/a.yaml", "timelab: 1\n")
    hook = repo / ".git/hooks/pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\nexec '{sys.executable}' -m timelab check --staged >&2\n")
    hook.chmod(0o755)
    head = git("rev-parse", "HEAD", cwd=repo)
    with pytest.raises(AssertionError, match=r"specs/a\.yaml:1:1: /kind: is missing"):
        git("commit", "-q", "-m", "bad", *how, cwd=repo)
    assert git("rev-parse", "HEAD", cwd=repo) == head


def test_staged_and_a_path_exclude_each_other(repo: Path) -> None:
    assert check(repo, "--staged", "specs").exit_code == 64


def test_the_examples_are_good() -> None:
    """specs/examples has one for each kind."""
    from timelab.spec.load import load_spec
    from timelab.spec.model import KINDS

    root = Path(__file__).parents[2]
    assert check(root, "specs/examples").exit_code == 0
    found = [path for path in (root / "specs/examples").iterdir() if path.suffix in (".yaml", ".toml", ".json")]
    specs = [load_spec(path.read_bytes(), f"specs/examples/{path.name}").spec for path in found]
    assert {spec.kind for spec in specs} == set(KINDS)
