"""Records by the thousand, through the store's own API: `python -m bench.records many|writers|worker PATH …`.

The records are copies of one real run, each with its own time and so its own id.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from timelab.clock import parse_timestamp, timestamp
from timelab.errors import StoreError
from timelab.git.repo import Repo, discover
from timelab.manifest import Manifest, recomputed_run_id
from timelab.store import reader, writer

BATCH = 10_000


def pattern(repo: Repo) -> reader.StoredRun:
    """Returns the oldest run: while others write, the newest is one of theirs, and two writers would make the same."""
    *_, run = reader.runs(repo)
    return run


def copies(run: reader.StoredRun, count: int, *, first: int) -> Iterator[tuple[Manifest, dict[str, bytes]]]:
    """Yields runs like the given one, `first` and more microseconds after it."""
    manifest = run.manifest()
    folder = run.folder
    assert folder is not None
    files: dict[str, bytes] = {
        str(artifact.path): (folder / artifact.path).read_bytes() for artifact in manifest.artifacts
    }
    start = parse_timestamp(manifest.timestamp_start)
    for number in range(first, first + count):
        moment = timestamp(start + timedelta(microseconds=number))
        fresh = manifest.model_copy(update={"timestamp_start": moment, "timestamp_end": moment})
        yield fresh.model_copy(update={"run_id": recomputed_run_id(fresh)}), files


def many(path: Path, count: int) -> dict[str, float]:
    """Records `count` runs in batches and returns how long that took, without making them up."""
    repo = discover(path)
    run = pattern(repo)
    seconds = 0.0
    for start in range(0, count, BATCH):
        batch = list(copies(run, min(BATCH, count - start), first=1 + start))
        began = time.perf_counter()
        writer.commit_many(repo, batch)
        seconds += time.perf_counter() - began
    return {"seconds": seconds}


def worker(path: Path, count: int, first: int) -> dict[str, float]:
    """Records `count` runs one by one, as a run does."""
    repo = discover(path)
    written = 0
    for manifest, files in list(copies(pattern(repo), count, first=first)):
        staging = repo.timelab_dir / "staging" / manifest.run_id
        for name, data in files.items():
            (staging / name).parent.mkdir(parents=True, exist_ok=True)
            (staging / name).write_bytes(data)
        try:
            writer.commit(repo, manifest, staging)
        except StoreError as error:
            # Said aloud is not lost: only what was reported as written counts.
            print(error.message, file=sys.stderr)
        else:
            written += 1
    return {"written": written}


def writers(path: Path, how_many: int, each: int) -> dict[str, float]:
    """Lets several processes record at once and returns how many records are lost, by chain and by note."""
    before = {run.run_id for run in reader.runs(discover(path))}
    began = time.perf_counter()
    children = [
        subprocess.Popen(
            [sys.executable, "-m", "bench.records", "worker", str(path), str(each), str(1 + number * each)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(how_many)
    ]
    answers = [child.communicate()[0] for child in children]
    if any(child.returncode for child in children):
        raise SystemExit("a writer ended badly")
    written = int(sum(json.loads(answer)["written"] for answer in answers))
    seconds = time.perf_counter() - began
    after = {run.run_id for run in reader.runs(discover(path))}
    target = subprocess.run(["git", "rev-parse", "HEAD"], cwd=path, capture_output=True, text=True, check=True)
    note = subprocess.run(
        ["git", "notes", "--ref", "timelab", "show", target.stdout.strip()], cwd=path, capture_output=True, check=True
    )
    noted = {json.loads(line)["run_id"] for line in note.stdout.splitlines()}
    kept = min(len(after - before), len(noted - before))
    return {"written": written, "lost": written - kept, "refused": how_many * each - written, "seconds": seconds}


def main(argv: list[str]) -> int:
    """Does one of the jobs and prints its figures as JSON."""
    jobs = {"many": many, "worker": worker, "writers": writers}
    job, path, *numbers = argv
    print(json.dumps(jobs[job](Path(path), *map(int, numbers))))  # type: ignore[operator]
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
