"""Every way timelab can fail, and the exit code that says which.

The tree::

    TimelabError
    ├── UsageError 64            the call was wrong
    │   ├── NotARepository       no git repository here
    │   ├── NotFound             no such run, spec, commit or artifact
    │   └── MissingExtra         an optional part is not installed
    ├── DataError 65             the data is wrong
    │   ├── SpecError            a spec does not say what a spec must say
    │   ├── ManifestError        a run.json is not one
    │   ├── VerificationError    a record does not agree with itself
    │   ├── ReplayDiffers        a replay gave something else
    │   ├── ModelMismatch        a pinned digest is absent or another
    │   ├── PathError            a path leaves its place
    │   └── SecretFound          a secret stood where only results may stand
    └── RunError 70              the work failed
        ├── TaskError            the task ended badly
        ├── ShellError           the pinned shell could not be entered
        ├── SandboxError         the sandbox cannot enforce what was asked
        ├── ProviderError        no provider answered
        │   ├── ProviderUnavailable  it did not answer this time
        │   └── ModelAbsent      it answers, and has no such model
        ├── GitError             git said no
        └── StoreError           the record could not be written
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass


class TimelabError(Exception):
    """Is the root of all errors that timelab raises on purpose.

    Args:
        message: lower case, no final stop, names the thing and its place.
        hint: the next command to type, or the change to make.
    """

    exit_code: int = 70
    slug: str = "error"

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(TimelabError):
    """Says that the call was wrong (exit 64)."""

    exit_code = 64
    slug = "usage"


class NotARepository(UsageError):
    """Says that there is no git repository here."""

    slug = "not-a-repository"


class NotFound(UsageError):
    """Says that no run, spec, commit or artifact answers to that name."""

    slug = "not-found"


class MissingExtra(UsageError):
    """Says that an optional part is not installed."""

    slug = "missing-extra"


class DataError(TimelabError):
    """Says that the data is wrong (exit 65)."""

    exit_code = 65
    slug = "data"


@dataclass(frozen=True)
class Problem:
    """Is one thing that is wrong in a file. `line` and `column` count from 1; 0 where the place is not known.

    `path` and `what` are escaped already: they hold no control characters.
    """

    path: str
    line: int
    column: int
    pointer: str
    what: str
    hint: str | None = None

    def __str__(self) -> str:
        """Returns `file:line:column: /pointer: what`, without the parts that are not known (style E4)."""
        place = f"{self.path}:{self.line}:{self.column}" if self.line else self.path
        return ": ".join(part for part in (place, self.pointer, self.what) if part)


class SpecError(DataError):
    """Says what is wrong in a spec, and where: `file:line:column: /pointer: what`.

    The message is that of the first problem in the order of the file; `problems` are all of them.
    """

    slug = "spec"

    def __init__(self, message: str, *, hint: str | None = None, problems: tuple[Problem, ...] = ()) -> None:
        super().__init__(message, hint=hint)
        self.problems = problems

    @classmethod
    def of(cls, problems: tuple[Problem, ...]) -> SpecError:
        """Returns the error for one or more problems."""
        return cls(str(problems[0]), hint=problems[0].hint, problems=problems)


class ManifestError(DataError):
    """Says that a run.json is not one."""

    slug = "manifest"


class VerificationError(DataError):
    """Says that a record does not agree with itself."""

    slug = "verification"


class ReplayDiffers(DataError):
    """Says that a replay gave something else than the record."""

    slug = "replay-differs"


class ModelMismatch(DataError):
    """Says that a pinned model digest is absent or another."""

    slug = "model-mismatch"


class PathError(DataError):
    """Says that a path leaves the place it belongs to."""

    slug = "path"


class SecretFound(DataError):
    """Says that a secret stood where only results may stand; never quotes it."""

    slug = "secret-found"


class RunError(TimelabError):
    """Says that the work failed (exit 70)."""

    slug = "run"


class TaskError(RunError):
    """Says that the task ended badly."""

    slug = "task"


class ShellError(RunError):
    """Says that the pinned shell could not be built or entered."""

    slug = "shell"


class SandboxError(RunError):
    """Says that the sandbox cannot enforce what the spec asks for."""

    slug = "sandbox"


class ProviderError(RunError):
    """Says that no provider answered."""

    slug = "provider"


class ProviderUnavailable(ProviderError):
    """Says that a provider did not answer this time: refused, broken off, too slow, or at fault itself (5xx).

    A retry may help; after any other `ProviderError` it will not.
    """

    slug = "provider-unavailable"


class ModelAbsent(ProviderError):
    """Says that a provider answers, but has no such model; the hint is what brings it."""

    slug = "model-absent"


class GitError(RunError):
    """Says that git, or the repository, refused an operation."""

    slug = "git"


class StoreError(RunError):
    """Says that the record could not be written whole."""

    slug = "store"


_NO_ROOM = (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT), "disk is full")


def is_no_room(error: BaseException) -> bool:
    """Says whether the disk, or the user's share of it, is full: a state of the machine that passes.

    By the words, because libgit2, SQLite and git tell it in no other way.
    """
    return any(words in str(error) for words in _NO_ROOM)
