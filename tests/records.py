"""Records that are true in every part, and ways to damage them, for the tests of `verify`."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from tests.helpers import START, Lab, make_lab
from timelab.canonical import sha256_bytes, sha256_named
from timelab.git import chain, trees
from timelab.git.notes import NOTES
from timelab.git.refs import read_ref, swap_ref
from timelab.manifest import Manifest, SpecRecord
from timelab.names import Oid, RepoPath
from timelab.store.reader import StoredRun
from timelab.store.writer import commit

INPUT = b"a,b\n1,2\n"


@dataclass(frozen=True)
class TrueLab:
    """Is a repository whose records hold against their commit: spec, tree, input and closure."""

    lab: Lab
    tree: Oid
    spec: bytes

    @property
    def root(self) -> Path:
        return self.lab.root

    def make(self, number: int) -> tuple[Manifest, dict[str, bytes]]:
        files = {
            "input/spec.yaml": self.spec,
            "input/files/data/in.csv": INPUT,
            "logs/stdout.txt": f"run {number}\n".encode(),
            "output/answer.json": b'{"answer":%d}' % number,
        }
        digest = sha256_bytes(self.spec)
        record = SpecRecord(
            path=RepoPath(self.lab.spec_path),
            blob=self.lab.spec_blob,
            sha256=digest,
            closure_sha256=sha256_named([(self.lab.spec_path, digest), ("data/in.csv", sha256_bytes(INPUT))]),
        )
        start = START + timedelta(seconds=number)
        return self.lab.make(number, files=files, git_tree=self.tree, spec=record, start=start)

    def record(self, number: int) -> StoredRun:
        manifest, files = self.make(number)
        staging = self.lab.repo.timelab_dir / "staging" / manifest.run_id
        for path, data in files.items():
            (staging / path).parent.mkdir(parents=True, exist_ok=True)
            (staging / path).write_bytes(data)
        return commit(self.lab.repo, manifest, staging)


def make_true_lab(root: Path) -> TrueLab:
    """Returns a lab whose commit holds the spec and one input."""
    lab = make_lab(root)
    sha = lab.commit_file("data/in.csv", INPUT.decode())
    tree = Oid(lab.git("rev-parse", f"{sha}^{{tree}}"))
    made = Lab(lab.repo, sha, lab.spec_blob)
    return TrueLab(made, tree, (root / lab.spec_path).read_bytes())


def flip(data: bytes, at: int) -> bytes:
    """Returns bytes with one of them another: a letter stays printable, so that JSON may still parse."""
    return data[:at] + bytes([data[at] ^ 0x01]) + data[at + 1 :]


def loose_path(lab: Lab, oid: str) -> Path:
    return lab.repo.common_dir / "objects" / oid[:2] / oid[2:]


@contextmanager
def replaced(path: Path, data: bytes) -> Iterator[None]:
    """Puts other bytes into a file, whatever its mode, and takes them back."""
    before, mode = path.read_bytes(), path.stat().st_mode
    path.chmod(0o644)
    path.write_bytes(data)
    try:
        yield
    finally:
        path.write_bytes(before)
        path.chmod(mode)


def object_file(kind: bytes, data: bytes) -> bytes:
    """Returns the bytes of a loose object's file."""
    return zlib.compress(b"%s %d\0" % (kind, len(data)) + data)


@contextmanager
def moved(lab: Lab, ref: str, to: Oid) -> Iterator[None]:
    """Points a ref elsewhere for a while."""
    before = read_ref(lab.repo, ref)
    assert before is not None
    swap_ref(lab.repo, ref, to, before)
    try:
        yield
    finally:
        swap_ref(lab.repo, ref, before, to)


def rewritten_entry(lab: Lab, oid: Oid, path: str, data: bytes) -> Oid:
    """Returns a new commit, sound in itself, that is an entry but for one file."""
    header, _, message = trees.read_typed(lab.repo, oid, trees.COMMIT).partition(b"\n\n")
    lines = header.split(b"\n")
    files = {
        name: trees.read_blob(lab.repo, entry.oid)
        for name, entry in trees.list_tree(lab.repo, lines[0][5:].decode()).items()
    }
    lines[0] = b"tree " + trees.write_tree(lab.repo, {**files, path: data}).encode()
    return trees.write_object(lab.repo, trees.COMMIT, b"\n".join(lines) + b"\n\n" + message)


def rewritten_note(lab: Lab, target: str, data: bytes) -> Oid:
    """Returns a new notes commit, sound in itself, in which one note holds other bytes."""
    tip = read_ref(lab.repo, NOTES)
    assert tip is not None
    tree = trees.read_typed(lab.repo, tip, trees.COMMIT).split(b"\n")[0][5:].decode()
    files = {name: trees.read_blob(lab.repo, entry.oid) for name, entry in trees.list_tree(lab.repo, tree).items()}
    files[next(name for name in files if name.replace("/", "") == target)] = data
    written = trees.write_tree(lab.repo, files)
    body = b"tree %s\nauthor a <a@b.c> 1 +0000\ncommitter a <a@b.c> 1 +0000\n\nx\n" % written.encode()
    return trees.write_object(lab.repo, trees.COMMIT, body)


def own_ref(lab: Lab) -> str:
    return chain.RUNS + chain.writer_id(lab.repo)
