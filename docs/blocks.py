"""Runs the code blocks of a page, as a reader would: one after the other, in one shell, in one folder.

A `sh` block is run and no command in it may fail. A `console` block shows a session: lines that start with `$ ` are
run, what follows is compared with what they print. Other languages are left alone. A block after the comment
`<!-- not run: REASON -->` is left out, for the few that need what a test has not got.

Ids, times, sizes and the scratch path differ between two runs, so both sides are compared after `normalise`.
`python -m docs.record PAGE…` writes what the commands print now into the page: recordings are never typed.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
SHOWN_HOME = "/home/ada"
_FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NOT_RUN = re.compile(r"<!-- not run: .+ -->\s*\Z")
_MARK = "@@timelab-docs-end@@"


@dataclass(frozen=True)
class Block:
    """Is one fenced block: `start` and `end` bound its body in the page."""

    language: str
    body: str
    start: int
    end: int
    line: int


@dataclass(frozen=True)
class Step:
    """Is one command of a session and what the page says that it prints."""

    command: str
    printed: str


def blocks(text: str) -> Iterator[Block]:
    """Yields the blocks of a page that are to be run."""
    for match in _FENCE.finditer(text):
        if match[1] in ("sh", "console") and not _NOT_RUN.search(text[: match.start()]):
            line = text.count("\n", 0, match.start()) + 1
            yield Block(match[1], match[2], match.start(2), match.end(2), line)


def steps(block: Block) -> list[Step]:
    """Returns the commands of a `console` block; a here-document goes on with `> ` lines."""
    found: list[tuple[list[str], list[str]]] = []
    for line in block.body.splitlines():
        if line.startswith("$ "):
            found.append(([line[2:]], []))
        elif line.startswith("> ") and found and not found[-1][1]:
            found[-1][0].append(line[2:])
        elif found:
            found[-1][1].append(line)
        else:
            raise ValueError(f"line {block.line}: a console block starts with `$ `")
    return [Step("\n".join(command), "\n".join(printed).rstrip()) for command, printed in found]


class Session:
    """Is one bash in one folder, fed command by command, with stderr in the place where it comes."""

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        self._folder = folder
        self._shell = subprocess.Popen(
            ["bash", "--norc", "--noprofile"],
            cwd=folder,
            env=dict(env),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self._shell.stdin is not None
        # In a block of several commands the first failure counts, not only the last command's.
        self._shell.stdin.write("trap '_failed=$?' ERR\n")

    def run(self, command: str) -> tuple[int, str]:
        """Returns the exit code and what was printed, with the scratch folder under another name."""
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        self._shell.stdin.write(f"_failed=0\n{command}\nprintf '\\n%s %s\\n' '{_MARK}' $_failed\n")
        self._shell.stdin.flush()
        lines: list[str] = []
        for line in self._shell.stdout:
            if line.startswith(_MARK):
                break
            lines.append(line)
        else:
            raise RuntimeError(f"the shell ended within: {command}")
        text = "".join(lines).rstrip().replace(str(self._folder), SHOWN_HOME)
        return int(line.split()[1]), text

    def close(self) -> None:
        """Ends the shell."""
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        self._shell.stdin.close()
        self._shell.wait(timeout=30)
        self._shell.stdout.close()


def normalise(text: str) -> str:
    """Returns text without what differs between two runs of the same session, or between two machines."""
    text = re.sub(r"^( *(?:tools|system|hooks:|sandbox))  *\S.*$", r"\1 <here>", text, flags=re.MULTILINE)
    text = re.sub(r"\d{4}[-/]\d{2}[-/]\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?Z?", "<time>", text)
    text = re.sub(r"\b\d{4}([-/])\d{2}\1\d{2}\b", "<day>", text)
    text = re.sub(r"\b\d{2}:\d{2}:\d{2}\b", "<time>", text)
    text = re.sub(r"(?<![0-9A-Za-z])\d{6}-(?=[a-z])", "<time>-", text)
    text = re.sub(r"\b\d+(\.\d+)? (ms|s|min \d+ s|B|KiB|MiB)(?![\w])", "<amount>", text)
    text = re.sub(r'("(?:wall_ms|cpu_ms|max_rss_bytes|size_bytes|seed)":)\d+', r"\1<n>", text)
    # A digest or its beginning; words of these letters (`facade`) have no digit in them.
    text = re.sub(r"\b(?=[0-9a-f]*\d)[0-9a-f]{7,64}\b", "<id>", text)
    text = re.sub(r"(?<=[/-])(?=[0-9a-f]*[a-f])[0-9a-f]{8}\b", "<id>", text)
    # Columns are as wide as their widest cell, which may be a time.
    return re.sub(r"[ \t]+", " ", re.sub(r"[-─]{3,}", "---", text)).strip()


def run_page(text: str, folder: Path, env: Mapping[str, str]) -> tuple[list[str], str]:
    """Runs every block of a page.

    Returns:
        What disagreed, one text each; and the page with what its sessions print now.
    """
    wrong: list[str] = []
    fresh: list[str] = []
    done = 0
    session = Session(folder, env)
    try:
        for block in blocks(text):
            if block.language == "sh":
                code, printed = session.run(block.body)
                if code:
                    wrong.append(f"line {block.line}: exit {code}:\n{block.body}\n{printed}")
                continue
            shown = []
            for step in steps(block):
                code, printed = session.run(step.command)
                if normalise(printed) != normalise(step.printed):
                    wrong.append(f"line {block.line}: $ {step.command}\n--- page\n{step.printed}\n--- now\n{printed}")
                first, *more = step.command.split("\n")
                shown.append(
                    "\n".join([f"$ {first}", *(f"> {line}" for line in more), *([printed] if printed else [])])
                )
            fresh += [text[done : block.start], "\n".join(shown) + "\n"]
            done = block.end
    finally:
        session.close()
    return wrong, "".join(fresh) + text[done:]


def page_env(home: Path, base: Mapping[str, str]) -> dict[str, str]:
    """Returns an environment like a new user's: own home, own git identity, `timelab` on PATH, nothing inherited."""
    programs = ROOT / ".venv" / "bin"
    kept = {name: base[name] for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "HTTPS_PROXY", "TMPDIR") if name in base}
    (home / ".gitconfig").write_text(
        "[user]\n\tname = Ada Example\n\temail = ada@example.invalid\n[init]\n\tdefaultBranch = main\n"
        "[advice]\n\tdetachedHead = false\n"
    )
    return {
        **kept,
        "PATH": f"{programs}:{base.get('PATH', '/usr/bin:/bin')}",
        "HOME": str(home),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_PAGER": "cat",
        "NO_COLOR": "1",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "TERM": "dumb",
        "COLUMNS": "110",
    }
