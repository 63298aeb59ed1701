"""Commands that are killed at some moment, and what must hold of a repository afterwards."""

from __future__ import annotations

import contextlib
import csv
import ctypes
import json
import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from tests.helpers import Lab as StoreLab
from tests.helpers import is_equal, projections
from tests.lab import TIMELAB, Lab
from timelab.git import chain, notes
from timelab.git.repo import Repo, discover
from timelab.names import Oid
from timelab.store.reader import runs
from timelab.store.recover import Report, heal, reindex
from timelab.verify import verify

BOUND_S = 60.0
_PR_SET_CHILD_SUBREAPER = 36

BUSY = """\
timelab: 1
kind: command
description: version {number}
argv: [sh, -c, "for i in 1 2 3; do echo $i > $TIMELAB_OUTPUT/$i.txt; sleep 0.05; done"]
"""
"""Writes its output piece by piece, so that a kill may fall between two of them."""


# --- the wrecked command


@dataclass(frozen=True)
class Blow:
    """Is when a command is killed: `wait_s` after `sign` is seen (or after the start)."""

    sign: str
    wait_s: float


SIGNS = {"start": 1.2, "staging": 0.4, "output": 0.15, "run.json": 0.03, "journal": 0.04}
"""What a run leaves on its way, and how long a blow may wait after it."""


def draw_blows(seed: int, count: int, signs: dict[str, float] = SIGNS) -> list[Blow]:
    """Returns `count` random moments, equally many after each sign."""
    chance = random.Random(seed)
    names = [name for _, name in zip(range(count), _cycle(list(signs)), strict=False)]
    chance.shuffle(names)
    return [Blow(name, chance.uniform(0.0, signs[name])) for name in names]


def _cycle(names: list[str]) -> Iterator[str]:
    while True:
        yield from names


def start(lab: Lab, *args: str, **env: str) -> subprocess.Popen[bytes]:
    """Starts timelab as the leader of a process group of its own."""
    return subprocess.Popen(
        [TIMELAB, *args],
        cwd=lab.root,
        env={**os.environ, **env},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def wait_until(is_so: Callable[[], object], what: str, *, pause_s: float = 0.02, bound_s: float = BOUND_S) -> None:
    """Waits until something is so, but not for ever."""
    deadline = time.monotonic() + bound_s
    while not is_so():
        assert time.monotonic() < deadline, f"never came to pass: {what}"
        time.sleep(pause_s)


def strike(
    lab: Lab, pid: int, is_over: Callable[[], bool], blow: Blow, *, number: signal.Signals = signal.SIGKILL
) -> bool:
    """Kills the process group of `pid` at the moment of `blow`; says False if it was over before."""
    before = _signs(lab)
    if blow.sign != "start":
        wait_until(lambda: is_over() or (_signs(lab) - before) & {blow.sign}, blow.sign, pause_s=0.001)
    time.sleep(blow.wait_s)
    struck = not is_over()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, number)
    return struck


def start_and_strike(lab: Lab, args: tuple[str, ...], blow: Blow) -> int:
    """Starts a command, kills it at the moment of `blow`, and returns how it ended."""
    process = start(lab, *args)
    strike(lab, process.pid, lambda: process.poll() is not None, blow)
    return process.wait()


def span_of(lab: Lab, *args: str) -> float:
    """Returns how long a command takes here and now, to draw moments from; it is let through to its end."""
    begin = time.monotonic()
    lab.timelab(*args)
    return time.monotonic() - begin


def strike_worker(lab: Lab, left: Callable[[], list[str]], blow: Blow) -> bool:
    """Kills the process group of the worker that a hook detached, found by its lease; False if it was over before."""
    found: list[int] = []

    def look() -> bool:
        for lease in (lab.root / ".git/timelab/queue").glob("*.lease"):
            with contextlib.suppress(OSError, ValueError):
                pid = json.loads(lease.read_bytes())["pid"]
                assert pid, "a worker gave the job back"
                found.append(pid)
        return bool(found) or not left()

    wait_until(look, "the hook's worker begins", pause_s=0.002)
    if found:
        with contextlib.suppress(ProcessLookupError):
            group = os.getpgid(found[0])
            assert group != os.getpgid(0)
            return strike(lab, group, lambda: not Path(f"/proc/{group}/exe").exists(), blow)
    return False


def _signs(lab: Lab) -> set[str]:
    """Returns which traces of a run under way are to be seen."""
    room = lab.root / ".git/timelab"
    found = set()
    for staging in _listed(room / "staging"):
        found.add("staging")
        if (staging / "run.json").exists():
            found.add("run.json")
        if _listed(staging / "output"):
            found.add("output")
    if _listed(room / "journal"):
        found.add("journal")
    return found


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError:
        return []


@contextmanager
def reaping() -> Iterator[Callable[[], list[str]]]:
    """Makes orphans come to us, and lends a function that says which processes are left."""
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    before = set(_descendants())
    try:
        yield lambda: [_name(pid) for pid in _descendants() if pid not in before and not _reap(pid)]
    finally:
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def has_task(left: Callable[[], list[str]], words: str) -> bool:
    """Says whether a process with these words in its command line is among those that are left."""
    return any(words in name.partition(" ")[2] for name in left() if "TIMELAB_TMP" not in name)


def _descendants() -> list[int]:
    parents: dict[int, list[int]] = {}
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            with contextlib.suppress(OSError):
                parent = int((path / "stat").read_bytes().rpartition(b")")[2].split()[1])
                parents.setdefault(parent, []).append(int(path.name))
    found, waiting = [], [os.getpid()]
    while waiting:
        children = parents.get(waiting.pop(), [])
        found += children
        waiting += children
    return found


def _reap(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return not Path(f"/proc/{pid}").exists()


def _name(pid: int) -> str:
    try:
        return f"{pid} " + Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")[:200]
    except OSError:
        return str(pid)


# --- what must hold


@dataclass(frozen=True)
class Mine:
    """Is what belongs to the user and must never be touched."""

    head: bytes
    index: bytes
    config: bytes
    refs: str
    mounts: tuple[str, ...]


def mine(lab: Lab) -> Mine:
    """Returns the user's own state, read without git, which might refresh the index."""
    folder = lab.root / ".git"
    refs = lab.git("for-each-ref", "refs/heads", "refs/tags", "refs/stash", wait=False)
    own = [(folder / name).read_bytes() for name in ("HEAD", "index", "config")]
    return Mine(*own, refs, _mounts(lab.root))


def _mounts(root: Path) -> tuple[str, ...]:
    """Returns the mounts that a sandbox of ours might have left where everybody sees them."""
    places = [line.split(" ")[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return tuple(sorted(place for place in places if place.startswith(("/lab", str(root))) or place == "/tmp"))


@dataclass(frozen=True)
class Traces:
    """Is what runs had left on their way when the command was killed: none of it may vanish without a word."""

    staged: frozenset[str]
    announced: frozenset[str]
    chained: frozenset[str]


def traces(lab: Lab, repo: Repo) -> Traces:
    """Returns the runs that stand half done, and those that stand in the chain."""
    room = repo.timelab_dir
    return Traces(
        frozenset(path.name for path in _listed(room / "staging")),
        frozenset(path.name for path in _listed(room / "journal") if len(path.name) == 64),
        frozenset(run.run_id for run in runs(fresh(repo))),
    )


def fresh(repo: Repo) -> Repo:
    """Returns the repository without what an open handle remembers."""
    return replace(repo)


def assert_nothing_lost(lab: Lab, repo: Repo, left: Traces) -> None:
    """Each run that had begun is in the chain now, or set aside, and `status` says so."""
    recorded = {run.run_id for run in runs(fresh(repo))}
    assert left.chained <= recorded
    assert left.announced <= recorded
    aside = {path.name for path in _listed(repo.timelab_dir / "quarantine")}
    missing = left.staged - recorded
    assert missing <= aside
    if missing:
        said = json.loads(lab.timelab("status", "--json").out)
        assert missing <= set(said["set_aside"])


def assert_sound(lab: Lab, repo: Repo) -> None:
    """What there is agrees with itself, and nothing half done stands anywhere."""
    repo = fresh(repo)
    assert verify(repo).ok
    assert heal(repo) == Report()
    for room in ("staging", "scratch", "journal"):
        assert list(_all_in(repo.timelab_dir / room)) == [], room
    assert list(lab.root.glob("[0-9]*/**/.*.tmp")) == []
    assert lab.git("fsck", "--strict", "--no-dangling", wait=False) == ""


def assert_whole(lab: Lab, repo: Repo) -> None:
    """Every record stands in chain, notes, folder, index and runs.csv alike, and nothing half done stands anywhere."""
    assert_sound(lab, repo)
    repo = fresh(repo)
    found = list(runs(repo))
    ids = Counter(run.run_id for run in found)
    assert set(ids.values()) <= {1}
    for run in found:
        entry = chain.read_entry(repo, run.entry, ref=run.ref)
        assert run.folder is not None and is_equal(repo, entry.tree, run.folder), run.run_id
        manifest = run.manifest()
        for target in filter(None, (manifest.git_sha, manifest.spec.blob)):
            assert (notes.read_note(repo, Oid(target)) or b"").count(run.manifest_bytes) == 1
    assert Counter(csv_ids(lab)) == ids
    if found:
        assert (lab.root / "latest/run.json").read_bytes() == found[0].manifest_bytes


def _all_in(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def csv_ids(lab: Lab) -> list[str]:
    """Returns the run ids of every runs.csv."""
    sheets = [path.read_text(encoding="utf-8").splitlines() for path in lab.root.glob("*/*/*/runs.csv")]
    return [row[0] for sheet in sheets for row in csv.reader(sheet[1:])]


def assert_derived(lab: Lab, repo: Repo) -> None:
    """What is derived from the chains is what deriving it anew gives."""
    shown = StoreLab(fresh(repo), Oid("0" * 40), Oid("0" * 40))
    before = projections(shown)
    reindex(fresh(repo))
    assert projections(shown) == before


def repo_of(lab: Lab) -> Repo:
    """Returns the repository for the calls that are made in this process."""
    return discover(lab.root)
