"""Figures to a page: what was measured, where, and how many times more the others take."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bench.measure import Timing


@dataclass
class Section:
    """Is one table: rows of cells, a goal, and words about how it was taken."""

    title: str
    goal: str
    header: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)
    remark: str = ""


def machine() -> list[str]:
    """Describes the machine without naming it: cores, processor, memory, kernel, versions."""
    model = "unknown processor"
    memory_gib = 0.0
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123
            model = next((line.split(":")[1].strip() for line in file if line.startswith("model name")), model)
        memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    except (OSError, ValueError):
        pass
    git = subprocess.run(["git", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    return [
        f"{os.cpu_count()} cores ({model}), {memory_gib:.0f} GiB",
        f"{platform.system()} {platform.release()}, {platform.machine()}",
        f"CPython {platform.python_version()}, {git}",
        # Above the number of cores the wall-clock tells of the others' work; CPU time then says more.
        "load average at the end: " + ", ".join(f"{each:.1f}" for each in os.getloadavg()) + " (1, 5, 15 minutes)",
    ]


def ms(value: float) -> str:
    """Returns milliseconds as people read them."""
    return f"{value:.1f} ms" if value < 100 else f"{value:,.0f} ms"


def ratio(value: float, ours: float) -> str:
    """Returns how many times ours a figure is."""
    return f"{value / ours:.1f} ×" if ours > 0 else "-"


def timing_rows(timings: Mapping[str, Timing], ours: str) -> list[Sequence[str]]:
    """Returns a row for each timing: wall-clock, CPU, and the ratio of the wall-clock to ours."""
    base = timings[ours].wall_ms
    return [
        (name, ms(timing.wall_ms), ms(timing.cpu_ms), "1" if name == ours else ratio(timing.wall_ms, base))
        for name, timing in timings.items()
    ]


def extra_rows(timings: Mapping[str, Timing], floor: str, ours: str) -> list[Sequence[str]]:
    """Returns a row for each timing: what it takes more than the floor, in CPU and wall-clock, and the ratio of CPU."""
    base = timings[floor]
    mine = timings[ours].cpu_ms - base.cpu_ms
    rows: list[Sequence[str]] = [(floor, ms(base.wall_ms), ms(base.cpu_ms), "", "")]
    for name, timing in timings.items():
        if name != floor:
            extra = timing.cpu_ms - base.cpu_ms
            times = "1" if name == ours else ratio(extra, mine)
            rows.append((name, ms(timing.wall_ms), ms(timing.cpu_ms), f"{extra:+.1f} ms", times))
    return rows


def page(sections: Sequence[Section], peers: Mapping[str, str], n: int, notes: Sequence[str]) -> str:
    """Returns the page."""
    lines = [
        "# Measured",
        "",
        f"Written by `./lab bench --peers`. Medians of {n} turns or more, after a warm-up; what is compared was taken",
        "in turns. CPU is that of the command and all it waited for. Ratios (times ours) are what to look",
        "at: machines differ.",
        "",
        *[f"- {line}" for line in machine()],
        f"- beside {', '.join(f'{name} {version}' for name, version in peers.items())}" if peers else "- without peers",
        "",
    ]
    for section in sections:
        lines += [f"## {section.title}", "", f"Goal: {section.goal}", ""]
        lines += ["| " + " | ".join(section.header) + " |", "|" + " --- |" * len(section.header)]
        lines += ["| " + " | ".join(row) + " |" for row in section.rows]
        lines += ["", *([section.remark, ""] if section.remark else [])]
    if notes:
        lines += ["## Not measured", "", *[f"- {note}" for note in notes], ""]
    return "\n".join(lines)
