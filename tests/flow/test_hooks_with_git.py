"""Our hooks under real git: what queues a job, what does not, and that nobody else's hook is lost (design 3)."""

from __future__ import annotations

import os
import shlex
import shutil
import stat
import subprocess
import time
from pathlib import Path

import pytest

from tests.conftest import Git
from timelab import queue
from timelab.git import hooks, watch
from timelab.git.repo import Repo, discover
from timelab.queue import Job

SPEC = "timelab: 1\nkind: command\nargv: ['true']\n"


@pytest.fixture
def recorder(tmp_path: Path) -> Path:
    """Stands in for the timelab program: writes down how it was called."""
    path = tmp_path / "bin with space" / "timelab"
    path.parent.mkdir()
    log = shlex.quote(str(tmp_path / "calls"))
    path.write_text(
        "#!/bin/sh\n"
        f'{{ echo "$* in $PWD"; env | grep -E "^(GIT_|TIMELAB_)" | sort; }} >>{log}\n'
        'if [ "$1" = work ] && [ "${SLOW:-}" ]; then sleep "$SLOW"; fi\n'
        'if [ "$1" = work ]; then echo "worked"; fi\n'
        'if [ "$1" = check ]; then exit "${CHECK_CODE:-0}"; fi\n'
    )
    path.chmod(0o755)
    return path


@pytest.fixture
def lab(repo: Path, recorder: Path) -> Repo:
    """Is a repository with our hooks installed."""
    found = discover(repo)
    hooks.install(found, recorder)
    return found


def calls(tmp_path: Path) -> list[str]:
    log = tmp_path / "calls"
    return log.read_text().splitlines() if log.exists() else []


def wait_for_call(tmp_path: Path, word: str) -> list[str]:
    for _ in range(500):
        if any(line.startswith(word) for line in calls(tmp_path)):
            return calls(tmp_path)
        time.sleep(0.01)
    raise AssertionError(f"nobody called {word}: {calls(tmp_path)}")


def write(root: Path, path: str | bytes, text: str = SPEC) -> None:
    full = root / os.fsdecode(path)
    full.parent.mkdir(parents=True, exist_ok=True)
    full.write_text(text)


def commit(root: Path, message: str = "c", *args: str, **env: str) -> subprocess.CompletedProcess[bytes]:
    subprocess.run(["git", "add", "-A"], cwd=root, check=True)
    return subprocess.run(
        ["git", "commit", "-q", "-m", message, *args],
        cwd=root,
        env={**os.environ, **env},
        capture_output=True,
        check=True,
    )


def jobs(lab: Repo) -> list[Job]:
    return [entry.job for entry in queue.entries(lab)]


def clear(lab: Repo) -> None:
    for job in jobs(lab):
        queue.finish(lab, job)


def test_a_commit_of_a_spec_is_queued_and_a_worker_started(lab: Repo, repo: Path, tmp_path: Path, git: Git) -> None:
    """D1, A151: the commit queues the spec, with what trust is judged by."""
    write(repo, "specs/haiku.yaml")
    done = commit(repo, "add a haiku")
    assert done.stderr == b"timelab: queued specs/haiku.yaml\n"
    (job,) = jobs(lab)
    assert job.hook == "post-commit"
    assert job.commit == git("rev-parse", "HEAD", cwd=repo)
    assert job.previous == git("rev-parse", "HEAD~1", cwd=repo)
    assert job.reflog_subject == "commit: add a haiku"
    assert job.committer == "Ada Example <ada@example.invalid>"
    assert job.top_level == repo
    assert f"work in {repo}" in wait_for_call(tmp_path, "work")


def test_a_commit_without_specs_leaves_no_trace(lab: Repo, repo: Path, tmp_path: Path) -> None:
    write(repo, "src/a.py", "x = 1\n")
    assert commit(repo).stderr == b""
    assert jobs(lab) == []
    assert calls(tmp_path) == []


def test_the_first_commit_of_a_repository_is_seen(tmp_path: Path, recorder: Path, git: Git) -> None:
    root = tmp_path / "new"
    root.mkdir()
    git("init", "-q", cwd=root)
    lab = discover(root)
    hooks.install(lab, recorder)
    write(root, "specs/a.yaml")
    commit(root)
    assert [job.reflog_subject for job in jobs(lab)] == ["commit (initial): c"]


@pytest.mark.parametrize(
    ("path", "is_spec"),
    [
        ("specs/a.yaml", True),
        ("specs/deep/er/a.toml", True),
        ("2026/11/20/ai-team/specs/a.json", True),
        ("2026/11/20/ai-team/specs/deep/a.json", False),
        ("anywhere/x.spec.yml", True),
        ("x.spec.yml", True),
        ("specs/a.txt", False),
        ("2026/11/20/ai-team/artifacts/r/output/x.spec.yaml", False),
        ("analyzer/outputs/r/x.spec.yaml", False),
        ("other/specs/a.yaml", False),
    ],
)
def test_the_filter_is_the_one_that_plans_are_made_by(lab: Repo, repo: Path, path: str, is_spec: bool) -> None:
    from timelab.plan import is_spec_path

    write(repo, path)
    commit(repo)
    assert bool(jobs(lab)) is is_spec is is_spec_path(path)


def test_a_file_that_a_spec_names_wakes_the_worker(lab: Repo, repo: Path) -> None:
    watch.watch(lab, ["prompts/haiku [1].txt", "data/*.csv"])
    write(repo, "data/other.csv", "1\n")
    commit(repo)
    assert jobs(lab) == []
    write(repo, "prompts/haiku [1].txt", "write one\n")
    assert commit(repo).stderr == b"timelab: queued, for prompts/haiku [1].txt changed\n"
    assert len(jobs(lab)) == 1


def test_specs_and_files_that_specs_read_are_told_apart(lab: Repo, repo: Path) -> None:
    """What reads a changed file is known to the worker only, so the line says what changed and no more."""
    names = [f"data/{number}.csv" for number in range(7)]
    watch.watch(lab, [*names, "specs/a.prompt.txt", "data/é.csv"])
    for name in (*names, "specs/a.prompt.txt", "specs/a.yaml", "b.spec.toml", "data/é.csv"):
        write(repo, name)
    write(repo, "timelab.toml", "")
    assert commit(repo).stderr.splitlines() == [
        b"timelab: queued b.spec.toml, specs/a.yaml",
        b"timelab: queued, for data/0.csv, data/1.csv, data/2.csv, data/3.csv, data/4.csv and 4 more changed",
    ]
    write(repo, "data/é.csv", "1\n")
    assert commit(repo).stderr == b'timelab: queued, for "data/\\303\\251.csv" changed\n'
    write(repo, "2026/11/20/ai-team/specs/demo.json", "{}")
    assert commit(repo).stderr == b"timelab: queued 2026/11/20/ai-team/specs/demo.json\n"


def test_a_watch_list_beyond_a_command_line_still_works(lab: Repo, repo: Path) -> None:
    watch.watch(lab, [f"data/folder-with-a-long-name/{number:06}.csv" for number in range(4000)])
    write(repo, "data/folder-with-a-long-name/zzz.csv", "1\n")
    commit(repo)
    assert jobs(lab) == []
    write(repo, "data/folder-with-a-long-name/003999.csv", "1\n")
    commit(repo)
    assert len(jobs(lab)) == 1


def test_patterns_of_the_settings_are_looked_for_too(lab: Repo, repo: Path) -> None:
    watch.watch_patterns(lab, ["tasks/**/*.yaml"])
    write(repo, "tasks/a/b.yaml")
    commit(repo)
    assert len(jobs(lab)) == 1


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"specs/two words.yaml", b"specs/two words.yaml"),
        (b'specs/it\'s "q".yaml', b'"specs/it\'s \\"q\\".yaml"'),
        (b"specs/new\nline.yaml", b'"specs/new\\nline.yaml"'),
        (b"specs/\x1b[31m$(touch x)`id`.yaml", b'"specs/\\033[31m$(touch x)`id`.yaml"'),
        (b"specs/\xff\xfe.yaml", b'"specs/\\377\\376.yaml"'),
        (b"specs/-rf *.yaml", b"specs/-rf *.yaml"),
    ],
)
def test_odd_names_are_queued_and_printed_escaped(lab: Repo, repo: Path, name: bytes, shown: bytes) -> None:
    """Trust-and-UI section 7: a name cannot drive the terminal or the shell."""
    write(repo, name)
    assert commit(repo).stderr == b"timelab: queued " + shown + b"\n"
    assert len(jobs(lab)) == 1


def test_a_repository_at_an_odd_place_works(tmp_path: Path, recorder: Path, git: Git) -> None:
    root = tmp_path / 'it\'s a "place"  $HOME'
    root.mkdir()
    git("init", "-q", cwd=root)
    lab = discover(root)
    hooks.install(lab, recorder)
    write(root, "specs/a.yaml")
    commit(root)
    assert [job.top_level for job in jobs(lab)] == [root]


def test_many_specs_are_announced_in_one_line(lab: Repo, repo: Path) -> None:
    for number in range(8):
        write(repo, f"specs/{number}.yaml")
    line = b"timelab: queued specs/0.yaml, specs/1.yaml, specs/2.yaml, specs/3.yaml, specs/4.yaml and 3 more\n"
    assert commit(repo).stderr == line


def test_an_amend_queues_the_commit_and_the_rewrite(lab: Repo, repo: Path, git: Git) -> None:
    write(repo, "specs/a.yaml")
    commit(repo, "one")
    old = git("rev-parse", "HEAD", cwd=repo)
    clear(lab)
    commit(repo, "two", "--amend")
    new = git("rev-parse", "HEAD", cwd=repo)
    amended, rewrite = jobs(lab)
    assert (amended.reflog_subject, amended.commit, amended.previous) == ("commit (amend): two", new, old)
    assert (rewrite.hook, rewrite.rewrites) == ("post-rewrite", ((old, new),))


def test_an_amend_of_a_commit_without_records_queues_nothing(lab: Repo, repo: Path, tmp_path: Path) -> None:
    write(repo, "a.py")
    commit(repo)
    commit(repo, "two", "--amend")
    assert jobs(lab) == []
    assert calls(tmp_path) == []


def test_an_amend_of_a_commit_with_a_record_is_carried(lab: Repo, repo: Path, git: Git) -> None:
    git("notes", "--ref=refs/notes/timelab", "add", "-m", "{}", "HEAD", cwd=repo)
    commit(repo, "two", "--amend", "--allow-empty")
    assert [job.hook for job in jobs(lab)] == ["post-rewrite"]


def test_a_rebase_of_ten_queues_one_rewrite_and_no_commit(lab: Repo, repo: Path, git: Git) -> None:
    """T7: post-commit fires for each pick of a rebase, and none of them is a commit that anybody made."""
    git("checkout", "-q", "-b", "topic", cwd=repo)
    for number in range(10):
        write(repo, f"specs/{number}.yaml")
        commit(repo, f"spec {number}")
    before = git("rev-list", "--reverse", "main..topic", cwd=repo).split()
    git("checkout", "-q", "main", cwd=repo)
    write(repo, "a.py")
    commit(repo)
    clear(lab)
    git("rebase", "-q", "main", "topic", cwd=repo)
    after = git("rev-list", "--reverse", "main..topic", cwd=repo).split()
    (job,) = jobs(lab)
    assert job.rewrites == tuple(zip(before, after, strict=True))


def test_a_cherry_pick_queues_nothing(lab: Repo, repo: Path, git: Git) -> None:
    git("checkout", "-q", "-b", "topic", cwd=repo)
    write(repo, "specs/a.yaml")
    commit(repo, "picked")
    clear(lab)
    git("checkout", "-q", "main", cwd=repo)
    commit(repo, "so that it is no fast-forward", "--allow-empty")
    git("cherry-pick", "topic", cwd=repo)
    assert jobs(lab) == []


@pytest.mark.parametrize("kind", ["--no-ff", "--ff-only"])
def test_a_merge_queues_what_it_brings(lab: Repo, repo: Path, git: Git, kind: str) -> None:
    before = git("rev-parse", "HEAD", cwd=repo)
    git("checkout", "-q", "-b", "topic", cwd=repo)
    write(repo, "specs/a.yaml")
    commit(repo, "a", TIMELAB_HOOK="off")
    git("checkout", "-q", "main", cwd=repo)
    git("merge", "-q", "-m", "m", kind, "topic", cwd=repo)
    (job,) = jobs(lab)
    assert (job.hook, job.since, job.commit) == ("post-merge", before, git("rev-parse", "HEAD", cwd=repo))


def test_a_merge_that_brings_no_spec_queues_nothing(lab: Repo, repo: Path, git: Git) -> None:
    git("checkout", "-q", "-b", "topic", cwd=repo)
    write(repo, "a.py")
    commit(repo)
    git("checkout", "-q", "main", cwd=repo)
    git("merge", "-q", "topic", cwd=repo)
    assert jobs(lab) == []


def test_git_am_queues_nothing(lab: Repo, repo: Path, git: Git, tmp_path: Path) -> None:
    git("checkout", "-q", "-b", "topic", cwd=repo)
    write(repo, "specs/a.yaml")
    commit(repo, "mailed", TIMELAB_HOOK="off")
    git("format-patch", "-q", "-o", str(tmp_path / "mail"), "main", cwd=repo)
    git("checkout", "-q", "main", cwd=repo)
    git("am", "-q", *map(str, (tmp_path / "mail").iterdir()), cwd=repo)
    assert jobs(lab) == []


def test_a_linked_worktree_reaches_the_common_queue(lab: Repo, repo: Path, git: Git, tmp_path: Path) -> None:
    tree = tmp_path / "linked tree"
    git("worktree", "add", "-q", str(tree), "-b", "side", cwd=repo)
    write(tree, "specs/a.yaml")
    commit(tree, "linked")
    assert [(job.top_level, job.reflog_subject) for job in jobs(lab)] == [(tree, "commit: linked")]
    called = wait_for_call(tmp_path, "work")
    called = called[called.index(f"work in {tree}") :]
    assert not any(line.startswith(("GIT_DIR", "GIT_INDEX", "GIT_AUTHOR", "GIT_PREFIX")) for line in called)


def test_a_commit_in_a_bisect_queues_nothing(lab: Repo, repo: Path, git: Git) -> None:
    git("bisect", "start", cwd=repo)
    write(repo, "specs/a.yaml")
    commit(repo)
    assert jobs(lab) == []


def test_a_commit_with_the_hooks_off_queues_nothing(lab: Repo, repo: Path) -> None:
    write(repo, "specs/a.yaml")
    assert commit(repo, TIMELAB_HOOK="off").stderr == b""
    assert jobs(lab) == []


def test_a_spec_that_is_deleted_queues_nothing(lab: Repo, repo: Path) -> None:
    write(repo, "specs/a.yaml")
    commit(repo)
    clear(lab)
    (repo / "specs/a.yaml").unlink()
    commit(repo)
    assert jobs(lab) == []


def test_a_reader_of_the_pipe_is_not_kept_waiting(lab: Repo, repo: Path, tmp_path: Path) -> None:
    """GUI clients read git's pipes to their end; a worker that held one open would hang them."""
    write(repo, "specs/a.yaml")
    subprocess.run(["git", "add", "-A"], cwd=repo, check=True)
    # A held pipe would keep `cat` for half a minute, and the limit then ends the test.
    env = {**os.environ, "SLOW": "30"}
    argv = ["sh", "-c", "git commit -m c 2>&1 | cat"]
    done = subprocess.run(argv, cwd=repo, env=env, check=True, capture_output=True, timeout=15)
    assert b"timelab: queued specs/a.yaml\n" in done.stdout and b"worked" not in done.stdout
    wait_for_call(tmp_path, "work")


@pytest.mark.parametrize("how", ["environment", "config", "bare key"])
def test_waiting_runs_the_worker_in_the_foreground(lab: Repo, repo: Path, git: Git, tmp_path: Path, how: str) -> None:
    if how == "config":
        git("config", "timelab.wait", "true", cwd=repo)
    if how == "bare key":
        with (repo / ".git/config").open("a") as stream:
            stream.write("[timelab]\n\twait\n")
    write(repo, "specs/a.yaml")
    done = commit(repo, "c", **({"TIMELAB_WAIT": "1"} if how == "environment" else {}))
    assert done.stderr == b"timelab: queued specs/a.yaml\nworked\n"
    assert f"work --wait in {repo}" in calls(tmp_path)


def test_the_environment_may_refuse_to_wait(lab: Repo, repo: Path, git: Git, tmp_path: Path) -> None:
    git("config", "timelab.wait", "true", cwd=repo)
    write(repo, "specs/a.yaml")
    commit(repo, "c", TIMELAB_WAIT="0")
    assert f"work in {repo}" in wait_for_call(tmp_path, "work")


def test_a_program_that_is_gone_costs_one_line_and_no_commit(lab: Repo, repo: Path, recorder: Path) -> None:
    recorder.unlink()
    write(repo, "specs/a.yaml")
    gone = b"timelab: the program of git config timelab.command is gone; to set it anew: timelab init\n"
    assert commit(repo).stderr == gone + b"timelab: queued specs/a.yaml\n" + gone
    assert len(jobs(lab)) == 1


def test_a_queue_that_cannot_be_written_does_not_fail_the_commit(lab: Repo, repo: Path) -> None:
    (lab.timelab_dir / "queue").rmdir()
    (lab.timelab_dir / "queue").write_text("in the way")
    write(repo, "specs/a.yaml")
    assert commit(repo).returncode == 0


def test_without_a_reflog_the_commit_is_queued_without_evidence(lab: Repo, repo: Path, git: Git) -> None:
    git("config", "core.logAllRefUpdates", "false", cwd=repo)
    shutil.rmtree(repo / ".git/logs")
    write(repo, "specs/a.yaml")
    commit(repo)
    assert [(job.commit, job.reflog_subject) for job in jobs(lab)] == [(git("rev-parse", "HEAD", cwd=repo), "")]


def test_remote_ids_are_written_down(lab: Repo, repo: Path, git: Git, tmp_path: Path) -> None:
    git("clone", "-q", "--bare", str(repo), str(tmp_path / "far.git"), cwd=tmp_path)
    git("remote", "add", "origin", str(tmp_path / "far.git"), cwd=repo)
    git("fetch", "-q", "origin", cwd=repo)
    far = git("rev-parse", "origin/main", cwd=repo)
    write(repo, "specs/a.yaml")
    commit(repo)
    assert [job.remote_ids for job in jobs(lab)] == [frozenset({far})]


@pytest.mark.parametrize("fetched_in", ["main", "side", "third"])
@pytest.mark.parametrize("committed_in", ["main", "side"])
def test_what_any_work_tree_fetched_is_written_down(
    lab: Repo, repo: Path, git: Git, tmp_path: Path, fetched_in: str, committed_in: str
) -> None:
    """Design 4: each work tree has a FETCH_HEAD of its own, and any of them can commit what another fetched."""
    rooms = {"main": repo, "side": tmp_path / "side", "third": tmp_path / "a third"}
    for name in ("side", "third"):
        git("worktree", "add", "-q", "-b", name, str(rooms[name]), cwd=repo)
    far = tmp_path / "far"
    git("clone", "-q", str(repo), str(far), cwd=tmp_path)
    git("commit", "-q", "--allow-empty", "-m", "a stranger's", cwd=far)
    git("fetch", "-q", str(far), "main", cwd=rooms[fetched_in])
    write(rooms[committed_in], "specs/a.yaml")
    commit(rooms[committed_in])
    assert [job.remote_ids for job in jobs(lab)] == [frozenset({git("rev-parse", "HEAD", cwd=far)})]


# --- pre-commit ---


def test_staged_specs_are_checked_before_the_commit(lab: Repo, repo: Path, tmp_path: Path) -> None:
    write(repo, "src/a.py")
    commit(repo)
    assert calls(tmp_path) == []
    write(repo, "specs/a.yaml")
    subprocess.run(["git", "add", "-A"], cwd=repo, check=True)
    done = subprocess.run(
        ["git", "commit", "-q", "-m", "c"], cwd=repo, env={**os.environ, "CHECK_CODE": "65"}, check=False
    )
    assert done.returncode != 0
    assert f"check --staged in {repo}" in calls(tmp_path)
    assert jobs(lab) == []


@pytest.mark.parametrize("path", ["secrets/key", ".env", "sub/.env.local"])
def test_staged_secrets_are_checked_too(lab: Repo, repo: Path, tmp_path: Path, path: str) -> None:
    """A185: the hook looks at staged secret paths."""
    write(repo, path, "x")
    commit(repo)
    assert f"check --staged in {repo}" in calls(tmp_path)


def test_the_check_is_told_which_index_is_committed(lab: Repo, repo: Path, git: Git, tmp_path: Path) -> None:
    write(repo, "specs/a.yaml")
    git("add", "-A", cwd=repo)
    git("commit", "-q", "-m", "only", "specs/a.yaml", cwd=repo)
    (line,) = {each for each in calls(tmp_path) if each.startswith("TIMELAB_INDEX_FILE=")}
    assert line.startswith(f"TIMELAB_INDEX_FILE={repo}/.git/next-index-")


def test_a_broken_check_does_not_stop_the_commit(lab: Repo, repo: Path) -> None:
    write(repo, "specs/a.yaml")
    assert b"timelab: check ended with 70; the commit goes on\n" in commit(repo, CHECK_CODE="70").stderr


def test_no_verify_skips_the_check_and_not_the_run(lab: Repo, repo: Path, tmp_path: Path) -> None:
    write(repo, "specs/a.yaml")
    commit(repo, "c", "--no-verify", CHECK_CODE="65")
    assert len(jobs(lab)) == 1


# --- other people's hooks ---


def foreign_hook(path: Path, log: Path, *, code: int = 0, extra: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/bin/sh\n{extra}echo "{path.name} $*" >>{shlex.quote(str(log))}\nexit {code}\n')
    path.chmod(0o750)
    return path


def test_a_hook_that_was_there_still_runs_and_decides(repo: Path, recorder: Path, tmp_path: Path) -> None:
    log = tmp_path / "foreign"
    foreign_hook(repo / ".git/hooks/pre-commit", log, code=3)
    lab = discover(repo)
    said = hooks.install(lab, recorder)
    assert said == [
        "hooks: post-commit, post-rewrite, post-merge, pre-commit in .git/hooks; kept and called: pre-commit"
    ]
    write(repo, "a.py")
    subprocess.run(["git", "add", "-A"], cwd=repo, check=True)
    assert subprocess.run(["git", "commit", "-q", "-m", "c"], cwd=repo, check=False).returncode == 1
    assert log.read_text() == "pre-commit \n"


def test_a_post_rewrite_that_was_there_gets_its_pairs(repo: Path, recorder: Path, tmp_path: Path, git: Git) -> None:
    log = tmp_path / "foreign"
    foreign_hook(repo / ".git/hooks/post-rewrite", log, extra=f"cat >{shlex.quote(str(tmp_path / 'pairs'))}\n")
    hooks.install(discover(repo), recorder)
    old = git("rev-parse", "HEAD", cwd=repo)
    commit(repo, "new", "--amend", "--allow-empty")
    assert (tmp_path / "pairs").read_text() == f"{old} {git('rev-parse', 'HEAD', cwd=repo)}\n"
    assert log.read_text() == "post-rewrite amend\n"


def test_the_pre_commit_framework_may_install_itself_again(repo: Path, recorder: Path, tmp_path: Path) -> None:
    """The framework keeps a hook it does not know as `pre-commit.legacy` and calls it: nothing then runs twice."""
    log = tmp_path / "foreign"
    framework = f'[ ! -x "$0.legacy" ] || "$0.legacy" "$@"\necho framework >>{shlex.quote(str(log))}\n'
    path = repo / ".git/hooks/pre-commit"
    path.write_text("#!/bin/sh\n" + framework)
    path.chmod(0o755)
    hooks.install(discover(repo), recorder)
    path.rename(path.with_name("pre-commit.legacy"))
    path.write_text("#!/bin/sh\n" + framework)
    path.chmod(0o755)
    write(repo, "specs/a.yaml")
    commit(repo)
    assert log.read_text() == "framework\n"
    assert f"check --staged in {repo}" in calls(tmp_path)


@pytest.mark.parametrize("scope", ["--local", "--global"])
def test_a_configured_hooks_path_keeps_working(
    repo: Path, recorder: Path, tmp_path: Path, git: Git, scope: str, hermetic: Path
) -> None:
    """A200, T2: every hook of the configured folder runs, also one that it gets later, and ours too."""
    log = tmp_path / "foreign"
    folder = repo / ".githooks" if scope == "--local" else hermetic / "my hooks"
    foreign_hook(folder / "post-commit", log)
    foreign_hook(folder / "commit-msg", log)
    git("config", scope, "core.hooksPath", ".githooks" if scope == "--local" else "~/my hooks", cwd=repo)
    before = (repo / ".git/config").read_bytes()
    lab = discover(repo)
    for _ in range(2):
        (line,) = hooks.install(lab, recorder)
        assert line.startswith(
            "hooks: post-commit, post-rewrite, post-merge, pre-commit in .git/timelab/hooks; those of"
        )
    foreign_hook(folder / "prepare-commit-msg", log)
    write(repo, "specs/a.yaml")
    commit(repo)
    words = [line.split()[0] for line in log.read_text().splitlines()]
    assert words == ["prepare-commit-msg", "commit-msg", "post-commit"]
    assert len(jobs(lab)) == 1
    assert hooks.state(lab).mode == "redirect"
    assert hooks.state(lab).is_whole
    hooks.uninstall(lab)
    assert (repo / ".git/config").read_bytes() == before
    assert not (lab.timelab_dir / "hooks").exists()


def test_husky_keeps_working(repo: Path, recorder: Path, tmp_path: Path, git: Git) -> None:
    """Husky's stubs find their helper beside themselves, and the user's hook one folder up."""
    log = shlex.quote(str(tmp_path / "foreign"))
    stubs = repo / ".husky/_"
    stubs.mkdir(parents=True)
    (stubs / ".gitignore").write_text("*")
    (stubs / "h").write_text(
        'n=$(basename "$0")\ns=$(dirname "$(dirname "$0")")/$n\n[ ! -f "$s" ] && exit 0\nsh -e "$s" "$@"\n'
    )
    for name in ("pre-commit", "post-commit", "commit-msg"):
        (stubs / name).write_text('#!/usr/bin/env sh\n. "$(dirname "$0")/h"')
        (stubs / name).chmod(0o755)
    (repo / ".husky/pre-commit").write_text(f"echo husky >>{log}\n")
    git("config", "core.hooksPath", ".husky/_", cwd=repo)
    lab = discover(repo)
    hooks.install(lab, recorder)
    write(repo, "specs/a.yaml")
    commit(repo)
    assert (tmp_path / "foreign").read_text() == "husky\n"
    assert len(jobs(lab)) == 1
    git("config", "core.hooksPath", ".husky/_", cwd=repo)
    assert "set anew" in hooks.state(lab).notes[0]


def test_undo_puts_back_what_was_there(repo: Path, recorder: Path, tmp_path: Path) -> None:
    """A set of foreign hooks comes back to the byte, with its modes, and a second undo does nothing."""
    folder = repo / ".git/hooks"
    foreign_hook(folder / "pre-commit", tmp_path / "log")
    (folder / "post-commit").symlink_to("pre-commit")
    (folder / "post-merge").write_text("not executable\n")

    def picture() -> dict[str, tuple[int, bytes]]:
        return {p.name: (stat.S_IMODE(p.lstat().st_mode), p.read_bytes()) for p in sorted(folder.iterdir())}

    before, config = picture(), (repo / ".git/config").read_bytes()
    lab = discover(repo)
    hooks.install(lab, recorder)
    installed = picture()
    hooks.install(lab, recorder)
    assert picture() == installed
    hooks.uninstall(lab)
    assert picture() == before
    assert (folder / "post-commit").is_symlink()
    assert (repo / ".git/config").read_bytes() == config
    assert hooks.uninstall(lab) == []


def test_a_hook_put_over_ours_is_chained_and_the_older_one_kept(repo: Path, recorder: Path, tmp_path: Path) -> None:
    path = foreign_hook(repo / ".git/hooks/post-commit", tmp_path / "one")
    lab = discover(repo)
    hooks.install(lab, recorder)
    foreign_hook(path, tmp_path / "two")
    hooks.install(lab, recorder)
    commit(repo, "c", "--allow-empty")
    assert (tmp_path / "two").exists()
    assert not (tmp_path / "one").exists()
    assert path.with_name("post-commit.timelab-old-1").exists()
