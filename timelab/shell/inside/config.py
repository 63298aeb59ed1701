"""What the parent tells the sandbox: plain values, as marshal carries them."""

from __future__ import annotations

TYPE_CHECKING = False  # as `typing` has it, without its 4 ms
if TYPE_CHECKING:
    from typing import Literal, TypedDict

    Walls = Literal["namespaces", "landlock", "none"]

    class LimitValues(TypedDict):
        """Holds the limits of `shell/task.py`; `room_bytes` is the largest file."""

        cpu_s: int
        memory_bytes: int
        output_bytes: int
        tmp_bytes: int
        files: int
        processes: int
        room_bytes: int

    class View(TypedDict):
        """Holds what the task sees, parents before children: see `shell/view.py`."""

        binds: list[tuple[str, str]]
        links: list[tuple[str, str]]
        files: list[tuple[str, str]]
        rooms: list[tuple[str, int, int]]

    class Config(TypedDict):
        """Holds one task; `task_uid` is -1 unless we are root, `rules` are for Landlock only.

        `rooms_are_folders`: output and tmp are folders of the host, watched, instead of file systems with a size.
        """

        backend: Literal["namespaces", "bubblewrap", "landlock", "none"]
        walls: Walls
        argv: list[str]
        env: dict[str, str]
        cwd: str
        home: str
        output: str
        tmp: str
        allow_net: bool
        timeout_s: float
        task_uid: int
        limits: LimitValues
        view: View
        rules: list[tuple[str, int]]
        rooms_are_folders: bool
