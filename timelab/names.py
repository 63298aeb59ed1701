"""Checked identifiers: each is a `str` that cannot hold anything else."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar, Self

from timelab.errors import DataError, PathError

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema

# Windows keeps these names for devices in every folder; a record that holds one cannot be checked out there.
_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
MAX_PATH_BYTES = 1024


class _Checked(str):
    """Is a string that fits its pattern."""

    __slots__ = ()
    pattern: ClassVar[str]
    what: ClassVar[str]

    def __new__(cls, value: str) -> Self:
        """Checks `value`; raises `DataError` when it does not fit."""
        if not isinstance(value, str) or not re.fullmatch(cls.pattern, value, re.ASCII):
            raise DataError(f"not {cls.what}: {ascii(value)[:80]}")
        return super().__new__(cls, value)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Lets pydantic check the pattern itself, so that the JSON Schema carries it."""
        from pydantic_core import core_schema

        return core_schema.no_info_after_validator_function(
            cls._trusted, core_schema.str_schema(pattern=f"^(?:{cls.pattern})$")
        )

    @classmethod
    def _trusted(cls, value: str) -> Self:
        return str.__new__(cls, value)


class Sha256(_Checked):
    """Is a sha256 as 64 lower-case hex digits, without its algorithm's name."""

    __slots__ = ()
    pattern = r"[0-9a-f]{64}"
    what = "a sha256 (64 hex digits)"


class RunId(Sha256):
    """Is the identity of a run (requirement A41)."""

    __slots__ = ()
    what = "a run id (64 hex digits)"


class Digest(_Checked):
    """Is a digest that names its algorithm: `sha256:` and 64 hex digits."""

    __slots__ = ()
    pattern = r"sha256:[0-9a-f]{64}"
    what = "a digest (sha256:…)"


class Oid(_Checked):
    """Is a git object id: 40 hex digits, or 64 in a SHA-256 repository."""

    __slots__ = ()
    pattern = r"[0-9a-f]{40}([0-9a-f]{24})?"
    what = "a git object id"


class WriterId(_Checked):
    """Is the random name of one writer's chain."""

    __slots__ = ()
    pattern = r"[a-z0-9][a-z0-9-]{3,63}"
    what = "a writer id"


class RunName(_Checked):
    """Is a name that can stand in a folder's name: letters, digits, `.`, `_` and `-`, at most 64."""

    __slots__ = ()
    pattern = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
    what = "a name (letters, digits, '.', '_', '-', at most 64, not starting with a sign)"


class RepoPath(str):
    """Is a path relative to the repository's root that stays inside it."""

    __slots__ = ()

    def __new__(cls, value: str) -> Self:
        """Checks `value`; raises `PathError` that says what is wrong with it."""
        if not isinstance(value, str):
            raise PathError(f"not a path: {ascii(value)[:80]}")
        wrong = path_fault(value)
        if wrong:
            raise PathError(f"path {ascii(value)[:120]}: {wrong}")
        return super().__new__(cls, value)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Checks the path inside pydantic; the JSON Schema shows a string of bounded length."""
        from pydantic_core import core_schema

        return core_schema.no_info_after_validator_function(
            cls._from_pydantic, core_schema.str_schema(min_length=1, max_length=MAX_PATH_BYTES)
        )

    @classmethod
    def _from_pydantic(cls, value: str) -> Self:
        wrong = path_fault(value)
        if wrong:
            raise ValueError(wrong)
        return str.__new__(cls, value)


def path_fault(value: str) -> str | None:
    """Returns why `value` cannot be a path inside the repository, or None when it can (design 4, traps T)."""
    if not value:
        return "is empty"
    if _CONTROL.search(value):
        return "holds a control character or is not UTF-8"
    if len(value.encode()) > MAX_PATH_BYTES:
        return f"is longer than {MAX_PATH_BYTES} bytes"
    if value.startswith(("/", "~")) or "\\" in value or re.match(r"[A-Za-z]:", value):
        return "must be relative to the repository's root, with '/'"
    for part in value.split("/"):
        if part in ("", "."):
            return "has an empty or '.' part"
        if part == "..":
            return "leaves the repository ('..')"
        # git itself refuses every spelling that a file system might fold to .git (git 2.45 verify_path).
        if part.lower().rstrip(" .").split(":")[0] in (".git", "git~1"):
            return "enters .git"
        if _RESERVED.fullmatch(part):
            return f"holds the reserved name {part!r}"
    return None


def folder_of(timestamp_start: str, name: str, run_id: str, kind: str = "command") -> str:
    """Returns the run's folder from the root: `YYYY/MM/DD/ai-team/artifacts/<HHMMSS>-<name>-<id8>` (A81, X5)."""
    day, clock = timestamp_start[:10].replace("-", "/"), timestamp_start[11:19].replace(":", "")
    room = "analyzer/outputs" if kind in ("mine", "summ") else "ai-team/artifacts"
    return f"{day}/{room}/{clock}-{name}-{run_id[:8]}"
