"""Identifiers and paths hold nothing else."""

from __future__ import annotations

import pytest

from timelab.errors import DataError, PathError
from timelab.names import Digest, Oid, RepoPath, RunId, RunName, Sha256, WriterId, path_fault


@pytest.mark.parametrize(
    ("kind", "good"),
    [
        (Sha256, "a" * 64),
        (RunId, "0" * 64),
        (Digest, "sha256:" + "f" * 64),
        (Oid, "1" * 40),
        (Oid, "1" * 64),
        (WriterId, "ab12-x"),
        (RunName, "haiku_2.b-c"),
    ],
)
def test_an_identifier_takes_what_fits(kind: type[str], good: str) -> None:
    """A47: a run id is a sha256 in hex."""
    assert kind(good) == good


@pytest.mark.parametrize(
    ("kind", "bad"),
    [
        (Sha256, "A" * 64),
        (Sha256, "a" * 63),
        (Sha256, "a" * 64 + "\n"),
        (RunId, ""),
        (Digest, "a" * 64),
        (Digest, "md5:" + "a" * 32),
        (Oid, "1" * 41),
        (Oid, "١" * 40),
        (WriterId, "a"),
        (WriterId, "-abc"),
        (RunName, ".hidden"),
        (RunName, "a/b"),
        (RunName, "=1+1"),
        (RunName, "a" * 65),
        (RunName, "\x1b[31m"),
    ],
)
def test_an_identifier_refuses_the_rest(kind: type[str], bad: str) -> None:
    with pytest.raises(DataError) as caught:
        kind(bad)
    assert caught.value.message.isprintable()


@pytest.mark.parametrize("good", ["a", "a/b.c", "späte Notiz.txt", "a b", "x" * 1024, ".github/x", "..a", "console"])
def test_a_path_inside_the_repository_is_one(good: str) -> None:
    assert RepoPath(good) == good
    assert path_fault(good) is None


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ("", "empty"),
        ("/etc/passwd", "relative"),
        ("~/x", "relative"),
        ("C:/x", "relative"),
        ("a\\b", "relative"),
        ("../x", r"'\.\.'"),
        ("a/../../x", r"'\.\.'"),
        ("./a", r"'\.'"),
        ("a//b", "empty"),
        ("a/", "empty"),
        ("a\x00b", "control"),
        ("a\nb", "control"),
        ("a\x1b[31m", "control"),
        ("a\u202eb", "control"),
        ("a\udcff", "control"),
        (".git/config", "git"),
        ("a/.GIT/x", "git"),
        ("GIT~1/x", "git"),
        (".git /x", "git"),
        ("a/nul", "reserved"),
        ("com1.txt", "reserved"),
        ("x" * 1025, "longer"),
        ("é" * 513, "longer"),
    ],
)
def test_a_path_that_leaves_its_place_is_refused(bad: str, why: str) -> None:
    """The hostile paths of design 4, each with its reason."""
    with pytest.raises(PathError, match=why) as caught:
        RepoPath(bad)
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 220
