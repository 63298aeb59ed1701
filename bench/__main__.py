"""`python -m bench [--peers]`: measures, and writes `bench/RESULTS.md`."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from bench import beside, floors, ours
from bench.measure import Case, Failed, clean_env, in_turns
from bench.report import Section, extra_rows, ms, page, ratio, timing_rows

ROOT = Path(__file__).parent.parent
TIMED = ("what", "wall-clock", "CPU", "times ours")
EXTRA = ("what", "wall-clock", "CPU", "extra CPU", "times ours")


class Bench:
    """Holds what all measurements share: the room, the peers, how many turns."""

    def __init__(self, room: Path, programs: dict[str, Path], n: int) -> None:
        self.room, self.programs, self.n = room, programs, n
        self.dvc_s: float | None = None

    def hook(self, files: int) -> Section:
        """Measures a commit that touches no spec."""
        cases = dict(ours.commits_without_specs(self.room, files, self.programs.get("precommit")))
        timings = in_turns(cases, n=3 * self.n, warm=2)
        rows = extra_rows(timings, "no hook", "timelab")
        return Section(f"A commit without specs, {files:,} files", "at most 5 ms more CPU", EXTRA, rows)

    def spec(self) -> Section:
        """Measures a commit of a spec."""
        timings = in_turns(dict(ours.commits_with_a_spec(self.room)), n=self.n)
        plain, mine = timings["no hook"], timings["timelab, not waiting"]
        rows = [
            (name, ms(each.wall_ms), ms(each.cpu_ms), f"{each.wall_ms - plain.wall_ms:+.1f} ms")
            for name, each in timings.items()
        ]
        return Section(
            "A commit of a spec",
            "the prompt is back at most 40 ms later",
            ("what", "wall-clock", "CPU", "extra wall-clock"),
            list(rows),
            f"Best of the turns: {ms(mine.best_ms)} with timelab, {ms(plain.best_ms)} without.",
        )

    def run(self) -> Section:
        """Measures one trivial run beside the peers'."""
        cases = {**dict(floors.runs(self.room)), **dict(ours.runs(self.room))}
        for name, make in beside.RUNS.items():
            if name in self.programs:
                cases.update(make(self.room, self.programs[name]))
        timings = in_turns(cases, n=self.n)
        mine = timings["timelab run, one command"]
        if "dvc exp run" in timings:
            self.dvc_s = timings["dvc exp run"].wall_ms / 1000
        beyond = mine.wall_ms - timings["python -c pass"].wall_ms - timings["`true`"].wall_ms
        return Section(
            "One trivial run, recorded",
            "at most 60 ms over the bare command beyond the start of an interpreter",
            TIMED,
            timing_rows(timings, "timelab run, one command"),
            f"Ours over the bare command and beyond the interpreter's start: {ms(beyond)}. It is sandboxed, scanned "
            "for secrets, and recorded in chain, note, folder and index; `true` leaves no record at all.",
        )

    def startup(self) -> Section:
        """Measures how long each takes to say its version."""
        cases = dict(ours.startups(self.room))
        env = clean_env(self.room / "home", list(self.programs.values()))
        for name in self.programs:
            argv = beside.VERSION_ARGV[name]
            cases[" ".join(argv)] = Case([str(self.programs[name] / argv[0]), *argv[1:]], self.room, env)
        return Section(
            "Start-up",
            "`--version` at most 60 ms, `log` at most 120 ms",
            TIMED,
            timing_rows(in_turns(cases, n=self.n), "timelab --version"),
        )

    def sweep(self) -> Section:
        """Measures recording a thousand runs at once."""
        path, _ = ours.sample(self.room)
        took = ours.in_process(self.room, "many", str(path), "1000")["seconds"]
        rows = [("timelab, 1,000 records in one go", f"{took:.2f} s", "1")]
        if self.dvc_s is not None:
            theirs = 1000 * self.dvc_s
            rows.append(("`dvc exp run`, 1,000 times the one above", f"{theirs:,.0f} s", ratio(theirs, took)))
        return Section(
            "A sweep of 1,000 recorded", "at most 0.2 s for the records", ("what", "time", "times ours"), list(rows)
        )

    def losses(self) -> Section:
        """Counts what is lost when many write at once."""
        path, _ = ours.sample(self.room)
        mine = ours.in_process(self.room, "writers", str(path), "8", "100")
        refused = f"; {mine['refused']:.0f} refused aloud" if mine["refused"] else ""
        rows = [("timelab, 8 writers, 100 records each", f"{mine['lost']:.0f} of {mine['written']:.0f}{refused}")]
        rows.append(("`git notes add`, 8 writers, 50 notes each", f"{beside.note_losses(self.room)} of 400"))
        if "datalad" in self.programs:
            failed, misplaced = beside.datalad_losses(self.room, self.programs["datalad"])
            what = f"{misplaced} of 20 outputs in no commit of their run; {failed} runs failed"
            rows.append(("`datalad run --explicit`, 20 runs, 4 at a time", what))
        return Section("Records lost by writing at once", "none", ("what", "lost"), list(rows))

    def log(self, count: int) -> Section:
        """Measures listing many runs."""
        took = ours.log_of_many(self.room, count, n=self.n)
        rows = [(f"timelab log, {count:,} runs, warm index", ms(took["log_ms"]), ms(took["log_cpu_ms"]))]
        return Section(
            "Looking at many runs", "at most 0.1 s", ("what", "wall-clock", "CPU"), list(rows),
            f"The {count:,} records were written in {took['made_s']:.1f} s.",
        )  # fmt: skip


def main(argv: list[str]) -> int:
    """Measures everything that can be measured here; what failed is told on the page and gives 70."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--peers", action="store_true", help="install the peers into .lab/bench and measure them too")
    parser.add_argument("-n", type=int, default=9, help="turns for each figure (default 9)")
    parser.add_argument("--runs", type=int, default=100_000, help="how many runs `log` has to list (default 100000)")
    parser.add_argument("--out", type=Path, help="where to write (default bench/RESULTS.md with --peers, else stdout)")
    options = parser.parse_args(argv)
    programs: dict[str, Path] = {}
    if options.peers:
        for name in beside.PEERS:
            print(f"bench: installing {name}", file=sys.stderr)
            programs[name] = beside.install(name, ROOT / ".lab/bench", ROOT / ".venv/bin/uv")
    room = Path(tempfile.mkdtemp(prefix="timelab-bench-")).resolve()
    bench = Bench(room, programs, options.n)
    wanted: list[tuple[str, Callable[[], Section]]] = [
        ("run", bench.run),
        ("hook", lambda: bench.hook(10)),
        ("hook, many files", lambda: bench.hook(5000)),
        ("spec", bench.spec),
        ("startup", bench.startup),
        ("sweep", bench.sweep),
        ("losses", bench.losses),
        ("log", lambda: bench.log(options.runs)),
    ]
    sections, failures = [], []
    try:
        for name, measure in wanted:
            print(f"bench: {name}", file=sys.stderr)
            try:
                sections.append(measure())
            except Failed as error:
                failures.append(f"{name}: {error}")
                print(f"bench: {failures[-1]}", file=sys.stderr)
    finally:
        shutil.rmtree(room, ignore_errors=True)
    text = page(sections, beside.versions(programs), options.n, [line.splitlines()[0][:200] for line in failures])
    out = options.out or (ROOT / "bench/RESULTS.md" if options.peers else None)
    if out:
        out.write_text(text, encoding="utf-8")
        print(f"bench: wrote {out}", file=sys.stderr)
    else:
        print(text)
    return 70 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
