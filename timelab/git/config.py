"""Reads and writes the few settings of git's configuration that are ours, or that we must mind."""

from __future__ import annotations

from dataclasses import dataclass

from timelab.git.repo import Repo


@dataclass(frozen=True)
class HooksPath:
    """Is the value of core.hooksPath (`~` expanded) and the scope it comes from."""

    scope: str
    value: str


def hooks_path(repo: Repo) -> HooksPath | None:
    """Returns core.hooksPath as the user's git sees it, or None; the one that our own git calls set is left out."""
    done = repo.git(["config", "-z", "--show-scope", "--type=path", "--get-all", "core.hooksPath"], check=False)
    fields = done.stdout.decode("utf-8", "surrogateescape").split("\0")
    pairs = [(scope, value) for scope, value in zip(fields[::2], fields[1::2], strict=False) if scope != "command"]
    return HooksPath(*pairs[-1]) if pairs and pairs[-1][1] else None


def get_config(repo: Repo, name: str) -> str | None:
    """Returns a setting of git's configuration, from whatever file."""
    done = repo.git(["config", "-z", "--get", name], check=False)
    return done.stdout.decode("utf-8", "surrogateescape").rstrip("\0") if done.code == 0 else None


def set_config(repo: Repo, name: str, value: str) -> None:
    """Sets a value in the repository's own configuration, unless it stands there already."""
    done = repo.git(["config", "--local", "-z", "--get-all", name], check=False)
    if done.stdout.decode("utf-8", "surrogateescape") != value + "\0":
        repo.git(["config", "--local", "--replace-all", name, value])


def unset_config(repo: Repo, name: str) -> None:
    """Removes a value from the repository's own configuration, if it is there."""
    repo.git(["config", "--local", "--unset-all", name], check=False)
