"""`timelab demo`: the whole story in a scratch repository, each command shown as it would be typed."""

from __future__ import annotations

import shlex
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

TIMEOUT_S = 170.0

# Three openings that are in the public domain: real sentences, for a model that only chooses among real sentences.
TEXTS = """\
{"name": "darwin", "text": "When on board H.M.S. Beagle, as naturalist, I was much struck with certain facts in the distribution of the inhabitants of South America, and in the geological relations of the present to the past inhabitants of that continent. These facts seemed to me to throw some light on the origin of species, that mystery of mysteries, as it has been called by one of our greatest philosophers. On my return home, it occurred to me, in 1837, that something might perhaps be made out on this question by patiently accumulating and reflecting on all sorts of facts which could possibly have any bearing on it."}
{"name": "lovelace", "text": "The Analytical Engine has no pretensions whatever to originate anything. It can do whatever we know how to order it to perform. It can follow analysis; but it has no power of anticipating any analytical relations or truths. Its province is to assist us in making available what we are already acquainted with."}
{"name": "faraday", "text": "There is not a law under which any part of this universe is governed which does not come into play, and is touched upon in these phenomena. There is no better, there is no more open door by which you can enter into the study of natural philosophy, than by considering the physical phenomena of a candle. I trust, therefore, I shall not disappoint you in choosing this for my subject rather than any newer topic, which could not be better, were it even so good."}
"""  # noqa: E501

SUMMARIES = """\
timelab: 1
kind: llm
description: One sentence out of each text
model: builtin:extractive@1
cases: data/texts.jsonl
prompt: |
  Summarise in one sentence:

  {{ text }}
params: {temperature: 0, seed: 7, max_tokens: 60}
"""

WORDS = """\
timelab: 1
kind: command
description: How rich is the vocabulary of each text?
script: analysis/words.py
inputs: [data/texts.jsonl]
outputs: [words.csv, report.md]
timeout_s: 60
"""

SCRIPT = """\
#!/usr/bin/env python3
import collections, csv, json, os, pathlib, re

out = pathlib.Path(os.environ["TIMELAB_OUTPUT"])
rows = []
for line in pathlib.Path("data/texts.jsonl").read_text().splitlines():
    case = json.loads(line)
    words = re.findall(r"[a-z]+", case["text"].lower())
    common, n = collections.Counter(w for w in words if len(w) > 4).most_common(1)[0]
    rows.append([case["name"], len(words), len(set(words)), round(len(set(words)) / len(words), 3), common])

with open(out / "words.csv", "w", newline="") as file:
    csv.writer(file, lineterminator="\\n").writerows([["text", "words", "distinct", "richness", "common"], *rows])
best = max(rows, key=lambda row: row[3])
(out / "report.md").write_text(f"# Vocabulary\\n\\nRichest: **{best[0]}**, {best[2]} distinct words of {best[1]}.\\n")
print(f"counted {sum(row[1] for row in rows)} words")
"""

FILES = {
    "data/texts.jsonl": TEXTS,
    "analysis/words.py": SCRIPT,
    "specs/summaries.yaml": SUMMARIES,
    "specs/words.yaml": WORDS,
}

# The spec's blob has the same line; json.tool comes with Python, so nobody needs jq to read it.
_PRETTY = """git notes show HEAD:specs/words.yaml | {python} -m json.tool | sed -n '/"run_id"/,/"status"/p'"""

NEXT = """\
What to try next, in {place}:
  edit specs/words.yaml or data/texts.jsonl, then   git commit -am 'another question'
  timelab log specs/words.yaml     every version of that spec, and what changed
  timelab diff specs/words.yaml    its last two runs side by side
  timelab show last                one run, for people
And in a repository of your own:   timelab init
"""


@dataclass(frozen=True)
class Step:
    """Is one command: `shown` as a person would type it, `argv` as it runs; a long line is cut after `width` signs."""

    shown: str
    argv: tuple[str, ...]
    wait: bool = False
    width: int | None = None


@click.command()
@click.option("--clean", is_flag=True, help="Remove the scratch repository at the end.")
def command(clean: bool) -> int:
    """Try it all in a scratch repository.

    Commits two specs, waits for their runs, and shows the note, the folder, `verify` and `replay`. The repository is
    kept for you to look around. Nothing outside of it is changed, but that your allow-list learns its name.
    """
    from timelab.cli import render

    # Resolved: on macOS the temporary folder is a link, and git prints what it points to.
    room = Path(tempfile.mkdtemp(prefix="timelab-demo-")).resolve()
    place = room / "notebook"
    try:
        place.mkdir()
        code = _play(place, room if clean else None)
    finally:
        if clean:
            shutil.rmtree(room, ignore_errors=True)
    if clean:
        return code
    render.out("")
    if code:
        render.talk(f"timelab: the demo stopped; the repository is kept in {place}")
    else:
        render.out(NEXT.format(place=place).rstrip())
    return code


def _play(place: Path, home: Path | None) -> int:
    from timelab.cli import render

    git, us = _git, _timelab
    opening: list[Step] = [
        Step("git init", git("init", "-q")),
        # A machine without a git identity must not stop the demo, and a person's own must not be lent to it.
        Step("git config user.name 'Ada Example'", git("config", "user.name", "Ada Example")),
        Step("git config user.email ada@example.invalid", git("config", "user.email", "ada@example.invalid")),
        Step("timelab init", us("init")),
    ]
    closing: list[Step] = [
        Step("git add .", git("add", ".")),
        Step(
            "TIMELAB_WAIT=1 git commit -m 'two questions about three texts'",
            git("commit", "-q", "-m", "two questions about three texts"),
            wait=True,
        ),
        Step("git notes show", git("notes", "show"), width=240),
        Step(_PRETTY.format(python="python3"), ("sh", "-c", _PRETTY.format(python=shlex.quote(sys.executable)))),
        Step("cat latest/output/words.csv", ("cat", "latest/output/words.csv")),
        Step("timelab log", us("log")),
        Step("timelab show specs/summaries.yaml", us("show", "specs/summaries.yaml")),
        Step("timelab verify", us("verify")),
        Step("timelab replay last", us("replay", "last")),
    ]
    for step in opening:
        if code := _do(step, place, home):
            return code
    for name, text in FILES.items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (place / "analysis/words.py").chmod(0o755)
    for name in ("specs/summaries.yaml", "specs/words.yaml"):
        if code := _do(Step(f"cat {name}", ("cat", name)), place, home):
            return code
    for step in closing:
        if code := _do(step, place, home):
            return code
        if step.wait:
            _show_folder(place)
    render.out("")
    render.out("The results, by their absolute paths:")
    for path in sorted(place.glob("[0-9]*/*/*/ai-team/artifacts/*/output/**/*")):
        if path.is_file():
            render.out(f"  {render.plain(str(path))}")
    return 0


def _git(*args: str) -> tuple[str, ...]:
    return ("git", *args)


def _timelab(*args: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "timelab", *args)


def _do(step: Step, place: Path, home: Path | None) -> int:
    from timelab.cli import render
    from timelab.process import base_env, run

    extra = {"TIMELAB_WAIT": "1"} if step.wait else {}
    if home is not None:
        # With --clean nothing may stay behind, not even a line of the allow-list.
        extra["XDG_DATA_HOME"] = str(home / "data")
    render.out("")
    render.out(render.bold(f"$ {step.shown}"))
    # One pipe for both streams keeps their order, as on a terminal.
    argv = ["sh", "-c", 'exec "$0" "$@" 2>&1', *step.argv]
    done = run(argv, cwd=place, env=base_env(extra), timeout_s=TIMEOUT_S)
    for line in done.stdout.decode("utf-8", "replace").splitlines():
        render.out(render.plain(_cut(line, step.width)))
    if done.timed_out:
        render.talk(f"timelab: {shlex.join(step.argv[:3])} did not end within {TIMEOUT_S:.0f} s")
    # git's own codes (1, 128) say nothing to who reads ours: there the work failed.
    return done.code if done.code in (0, 64, 65, 130) else 70


def _cut(line: str, width: int | None) -> str:
    if width is None or len(line) <= width:
        return line
    return f"{line[:width]}… ({len(line)} bytes; read it with jq)"


def _show_folder(place: Path) -> None:
    from timelab.cli import render

    render.out("")
    render.out(render.bold("$ find [0-9]* -type f | sort"))
    render.lines(str(path) for path in _files(place))


def _files(place: Path) -> Sequence[Path]:
    return sorted(path.relative_to(place) for path in place.glob("[0-9]*/**/*") if path.is_file())
