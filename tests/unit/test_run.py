"""The conductor: whatever happens to a task, its record is made and tells the truth."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fakes import START, FakeExecutor, FakeShell, ended, make_services
from tests.helpers import Lab, make_lab
from timelab.clock import timestamp
from timelab.errors import ModelMismatch, SandboxError, ShellError, SpecError, TaskError
from timelab.executors.base import TaskContext, TaskResult
from timelab.git import trees
from timelab.manifest import Failure, Manifest, Status
from timelab.names import Oid, RepoPath
from timelab.run import EXIT_CODES, RunRequest, exit_code_of, run_spec
from timelab.shell.base import Shell
from timelab.shell.host import HostShell
from timelab.store.index import open_index
from timelab.store.reader import StoredRun

SPEC = b"timelab: 1\nkind: command\nargv: [echo, '0']\n"


@pytest.fixture
def lab(repo: Path) -> Lab:
    return make_lab(repo)


def request(lab: Lab, path: str = "specs/echo.yaml", commit: Oid | None = None, **more: object) -> RunRequest:
    return RunRequest(spec_path=RepoPath(path), commit=commit or lab.git_sha, **more)  # type: ignore[arg-type]


def run(lab: Lab, executor: FakeExecutor | None = None, *shells: Shell, **more: object) -> Manifest:
    return run_spec(lab.repo, request(lab, **more), make_services(executor, *shells)).manifest()  # type: ignore[arg-type]


def raising(error: BaseException) -> FakeExecutor:
    def does(context: TaskContext) -> TaskResult:
        (context.staging / "logs/stdout.txt").write_text("so far\n")
        raise error

    return FakeExecutor(does)


def test_a_run_goes_from_spec_to_record_in_one_call(lab: Lab) -> None:
    """A1, A152, A154, A155, A160, A161, A162: the task sees its input; its output and its end are recorded."""

    def does(context: TaskContext) -> TaskResult:
        running = json.loads((context.staging / "running.json").read_bytes())
        assert running["run_id"] == context.plan.run_id
        assert (context.staging / "input/spec.yaml").read_bytes() == SPEC
        assert context.source is not None and (context.source / "specs/echo.yaml").read_bytes() == SPEC
        (context.staging / "output/answer.txt").write_text("42\n")
        return ended()

    executor, shell = FakeExecutor(does), FakeShell()
    stored = run_spec(lab.repo, request(lab), make_services(executor, shell, start=START))
    manifest = stored.manifest()
    assert manifest.status is Status.OK
    assert manifest.timestamp_start == timestamp(START)
    assert manifest.timestamp_end > manifest.timestamp_start
    assert (manifest.git_sha, manifest.spec.blob, manifest.dirty) == (lab.git_sha, lab.spec_blob, False)
    assert {"input/spec.yaml", "output/answer.txt"} <= {item.path for item in manifest.artifacts}
    assert stored.folder is not None and (stored.folder / "output/answer.txt").read_text() == "42\n"
    assert [asked.profile for asked in shell.entered] == ["default"]
    assert not list(lab.repo.timelab_dir.glob("staging/*")) and not list(lab.repo.timelab_dir.glob("scratch/*"))


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (TaskError("it broke"), Status.FAILED, 70),
        (ShellError("it is gone"), Status.FAILED, 70),
        (SandboxError("nothing can enforce this"), Status.REFUSED, 70),
        (ModelMismatch("other weights"), Status.REFUSED, 65),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_an_error_of_the_task_is_recorded_with_its_name(lab: Lab, error: TaskError, status: Status, code: int) -> None:
    """A26, A68, G3, G7: a failed run leaves a record like any other, and what it had written."""
    manifest = run(lab, raising(error))
    assert (manifest.status, exit_code_of(manifest.status, error.slug)) == (status, code)
    assert manifest.error == Failure(slug=error.slug, message=error.message)
    assert "logs/stdout.txt" in {item.path for item in manifest.artifacts}


def test_an_interrupt_is_recorded_before_it_goes_on(lab: Lab) -> None:
    """Style E2: 130 after the manifest says `interrupted`."""
    with pytest.raises(KeyboardInterrupt):
        run(lab, raising(KeyboardInterrupt()))
    with open_index(lab.repo) as index:
        assert [row.status for row in index.select()] == ["interrupted"]
    assert not list(lab.repo.timelab_dir.glob("staging/*"))


def test_a_shell_that_cannot_be_entered_fails_the_run(lab: Lab) -> None:
    executor = FakeExecutor()
    manifest = run(lab, executor, FakeShell(broken=True))
    assert (manifest.status, manifest.error and manifest.error.slug) == (Status.FAILED, "shell")
    assert executor.asked == []


def test_the_first_shell_that_serves_the_profile_is_entered(lab: Lab) -> None:
    """A13, D4: nix before uv before the host, whichever there is."""
    none, first, second = FakeShell(profiles=()), FakeShell(), FakeShell()
    run(lab, None, none, first, second)
    assert (len(none.entered), len(first.entered), len(second.entered)) == (0, 1, 0)
    manifest = run(lab, None, none)
    assert manifest.error is not None and manifest.error.message == "no pinned shell serves the profile 'default'"


def test_pins_are_those_of_the_commit_not_of_the_work_tree(lab: Lab) -> None:
    """A13, D4: the record says `dirty: false`, so nothing that is not committed may choose the lock."""
    commit = lab.commit_file("timelab.toml", '[profiles.default]\nuv = "pins/a"\n')
    (lab.root / "timelab.toml").write_text('[profiles.default]\nuv = "pins/b"\n')
    shell = FakeShell(kind="uv")
    assert run(lab, None, shell, commit=commit).dirty is False
    run(lab, None, shell, commit=lab.git_sha)
    assert [(asked.pin, asked.names_pins) for asked in shell.entered] == [("pins/a", True), (None, False)]


def test_a_pin_of_another_profile_keeps_a_spec_off_the_host(lab: Lab) -> None:
    """A13: the host serves only where nothing is pinned at all."""
    commit = lab.commit_file("timelab.toml", '[profiles.a]\nuv = "pins/a"\n')
    manifest = run(lab, None, HostShell(), commit=commit)
    assert manifest.error is not None and manifest.error.message == "no pinned shell serves the profile 'default'"
    assert run(lab, None, HostShell(), commit=lab.git_sha).shell.kind == "host"


def test_a_commit_whose_configuration_is_wrong_fails_its_run(lab: Lab) -> None:
    manifest = run(lab, None, FakeShell(), commit=lab.commit_file("timelab.toml", "zzz = 1\n"))
    assert (manifest.status, manifest.error and manifest.error.slug) == (Status.FAILED, "shell")
    assert manifest.error is not None and manifest.error.message == "timelab.toml: /zzz: unknown key"


def test_a_profile_comes_from_the_spec_else_from_the_nearest_envrc(lab: Lab) -> None:
    """A17, A19, G6: a folder's .envrc chooses for the specs below it."""
    shell = FakeShell(profiles=("default", "rust_an", "python_ml", "given"))
    lab.commit_file("specs/.envrc", "use flake ../#python_ml\n")
    lab.commit_file("specs/deep/.envrc", "# mine\nuse flake ../..#rust_an\n")
    lab.commit_file("specs/deep/er/a.yaml", SPEC.decode())
    lab.commit_file("specs/a.yaml", SPEC.decode())
    commit = lab.commit_file("specs/deep/b.yaml", SPEC.decode() + "profile: given\n")
    for path in ("specs/deep/er/a.yaml", "specs/a.yaml", "specs/deep/b.yaml"):
        run(lab, None, shell, path=path, commit=commit)
    assert [asked.profile for asked in shell.entered] == ["rust_an", "python_ml", "given"]


@pytest.mark.parametrize("line", ["use flake .#../../x", "use flake .#a b", "use flake", "use flake .#", "layout go"])
def test_an_envrc_that_names_no_profile_is_passed_over(lab: Lab, line: str) -> None:
    commit = lab.commit_file("specs/.envrc", f"{line}\n")
    shell = FakeShell()
    run(lab, None, shell, commit=commit)
    assert [asked.profile for asked in shell.entered] == ["default"]


def test_only_the_variables_that_a_spec_names_reach_the_task(lab: Lab) -> None:
    commit = lab.commit_file("specs/echo.yaml", SPEC.decode() + "env: [WANTED, ABSENT]\n")
    executor = FakeExecutor()
    run_spec(lab.repo, request(lab, commit=commit), make_services(executor, environ={"WANTED": "yes", "OTHER": "no"}))
    assert executor.asked[0].user_env == {"WANTED": "yes"}


def test_an_invalid_spec_is_recorded_and_nothing_runs(lab: Lab) -> None:
    """A32, A153: the line says where and what."""
    commit = lab.commit_file("specs/odd.yaml", "timelab: 1\nkind: comand\n")
    executor, shell = FakeExecutor(), FakeShell()
    manifest = run(lab, executor, shell, path="specs/odd.yaml", commit=commit)
    assert manifest.status is Status.INVALID
    assert manifest.error is not None and manifest.error.message.startswith("specs/odd.yaml:2:7: /kind: ")
    assert (executor.asked, shell.entered) == ([], [])


def test_a_spec_that_is_not_in_the_commit_is_an_error_without_a_record(lab: Lab) -> None:
    with pytest.raises(SpecError, match=r"specs/none.yaml: no such file in the commit"):
        run(lab, path="specs/none.yaml")
    with open_index(lab.repo) as index:
        assert index.count() == 0


def test_an_overlay_makes_the_run_dirty_and_is_what_runs(lab: Lab) -> None:
    """X11: the record keeps the bytes that ran, and says that they are not the commit's."""
    executor = FakeExecutor()
    other = SPEC.replace(b"'0'", b"'1'")
    stored = run_spec(lab.repo, request(lab, overlay={"specs/echo.yaml": other}), make_services(executor))
    assert stored.manifest().dirty is True
    assert stored.folder is not None and (stored.folder / "input/spec.yaml").read_bytes() == other


def test_what_is_given_up_is_recorded_without_being_done(lab: Lab) -> None:
    executor = FakeExecutor()
    failure = Failure(slug="killed", message="three times")
    manifest = run(lab, executor, give_up=(Status.INTERRUPTED, failure))
    assert (manifest.status, manifest.error, executor.asked) == (Status.INTERRUPTED, failure, [])


def test_a_secret_in_an_input_stops_the_run_before_it_begins(lab: Lab) -> None:
    """A188, A236: and neither the file nor the value is in the record."""
    planted = "AKIA" + "QYLPMN5HHHFPZAM2"
    lab.commit_file("data/keys.txt", f"one\nkey = {planted}\n")
    commit = lab.commit_file("specs/echo.yaml", SPEC.decode() + "inputs: [data/keys.txt]\n")
    executor = FakeExecutor()
    stored = run_spec(lab.repo, request(lab, commit=commit), make_services(executor))
    manifest = stored.manifest()
    assert executor.asked == []
    assert (manifest.status, manifest.error and manifest.error.slug) == (Status.FAILED, "secret-found")
    assert manifest.error is not None and "data/keys.txt:2" in manifest.error.message
    assert planted.encode() not in stored.manifest_bytes
    assert "input/files/data/keys.txt" not in {item.path for item in manifest.artifacts}


@pytest.mark.parametrize("key", ["description", "unknown_key"])
def test_a_secret_in_an_uncommitted_spec_is_in_no_object_of_the_repository(lab: Lab, key: str) -> None:
    """Design 4: it is scanned before anything enters git; also a spec that is not valid."""
    token = "ghp_" + "a1B2c3D4e5F6" * 3
    spec = SPEC + f"{key}: {token}\n".encode()
    manifest = run(lab, overlay={"specs/echo.yaml": spec})
    assert (manifest.status, manifest.error and manifest.error.slug) == (Status.FAILED, "secret-found")
    assert manifest.spec.blob == trees.blob_oid(spec)
    objects = lab.git("cat-file", "--batch-all-objects", "--batch")
    assert "specs/echo.yaml" in objects
    assert token not in objects


@pytest.mark.parametrize("end", [b"description: x\n", b"unknown_key: x\n"])
def test_an_uncommitted_spec_is_kept_by_its_record(lab: Lab, end: bytes) -> None:
    """Design 3."""
    blob = run(lab, overlay={"specs/echo.yaml": SPEC + end}).spec.blob
    assert lab.git("cat-file", "blob", blob).encode() + b"\n" == SPEC + end


def test_the_value_of_a_secret_variable_is_kept_nowhere(lab: Lab) -> None:
    """A188, A187: it looks like nothing, but the spec passes it under a name that says what it is."""
    commit = lab.commit_file("specs/echo.yaml", SPEC.decode() + "env: [PGPASSWORD, LANG]\n")

    def does(context: TaskContext) -> TaskResult:
        (context.staging / "logs" / "stdout.txt").write_text("en_GB\nlogging in with swordfish-pie\n")
        (context.staging / "output" / "kept.txt").write_text("en_GB")
        return replace(ended(), error=Failure(slug="x", message="no entry for swordfish-pie"))

    environ = {"PGPASSWORD": "swordfish" + "-pie", "LANG": "en_GB"}
    stored = run_spec(lab.repo, request(lab, commit=commit), make_services(FakeExecutor(does), environ=environ))
    manifest = stored.manifest()
    assert (manifest.status, manifest.error and manifest.error.slug) == (Status.FAILED, "secret-found")
    assert manifest.error is not None and manifest.error.message == "logs/stdout.txt:2: value of PGPASSWORD"
    assert b"swordfish-pie" not in stored.manifest_bytes
    assert "swordfish-pie" not in lab.git("cat-file", "--batch-all-objects", "--batch")
    assert "output/kept.txt" in {item.path for item in manifest.artifacts}


def test_a_secret_in_a_results_name_is_not_recorded_either(lab: Lab) -> None:
    """A188."""
    planted = "AKIA" + "QYLPMN5HHHFPZAM2"

    def does(context: TaskContext) -> TaskResult:
        (context.staging / "output" / f"{planted}.txt").write_text("x")
        return ended()

    stored = run_spec(lab.repo, request(lab), make_services(FakeExecutor(does)))
    assert stored.manifest().error is not None and stored.manifest().error.slug == "secret-found"  # type: ignore[union-attr]
    assert planted.encode() not in stored.manifest_bytes
    assert planted not in lab.git("ls-tree", "-r", "--name-only", stored.entry)


def test_two_runs_that_begin_in_one_moment_have_two_ids(lab: Lab) -> None:
    """A45, T13: the second takes a later moment for its own."""
    inner: list[StoredRun] = []

    def does(context: TaskContext) -> TaskResult:
        if not inner:
            inner.append(run_spec(lab.repo, request(lab), make_services(start=START)))
        return ended()

    outer = run_spec(lab.repo, request(lab), make_services(FakeExecutor(does), start=START))
    manifests = [stored.manifest() for stored in (outer, *inner)]
    assert len({manifest.run_id for manifest in manifests}) == 2
    assert len({manifest.timestamp_start for manifest in manifests}) == 2
    assert len({manifest.run_key for manifest in manifests}) == 1


def test_equal_inputs_give_equal_keys_and_another_parameter_another(lab: Lab) -> None:
    """A46, A12."""
    first: StoredRun = run_spec(lab.repo, request(lab), make_services())
    commit = lab.commit_file("notes/unrelated.md", "x\n")
    later = run_spec(lab.repo, request(lab, commit=commit), make_services())
    assert first.manifest().run_key != later.manifest().run_key, "the task can read the code, so the code counts"
    commit = lab.commit_file("specs/other.yaml", SPEC.decode() + "name: echo\n")
    again = run_spec(lab.repo, request(lab, commit=commit), make_services())
    assert again.manifest().run_key == later.manifest().run_key, "another spec is no code"


def test_every_status_has_its_exit_code() -> None:
    """A222, A224, A225, E1: 0, 65, 70 and 130, nothing else."""
    assert {*EXIT_CODES, Status.RUNNING} == set(Status)
    assert set(EXIT_CODES.values()) == {0, 65, 70, 130}
