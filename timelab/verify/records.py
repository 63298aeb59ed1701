"""Steps 2 to 7: one record against its schema, its own digests, its commit, and the files beside it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from timelab.canonical import sha256_named
from timelab.diff.causes import spec_name
from timelab.errors import DataError, SecretFound
from timelab.git.raw import Missing
from timelab.manifest import INPUT_FILES, Manifest, folder_of, read_manifest, recomputed_run_id, recomputed_run_key
from timelab.names import Oid, RunId
from timelab.store.layout import RUN_FILE
from timelab.verify.commits import Commits
from timelab.verify.entries import Entry
from timelab.verify.fits import run_schema
from timelab.verify.ledger import ARTIFACTS, IDS, INPUTS, LOCK, SCHEMA, SPEC, Ledger, span

_EDITED = "the record was changed after it was made: fetch it again (timelab sync), or trust it no more"


@dataclass(frozen=True)
class Record:
    """Is a run that the later steps compare with its copies."""

    run_id: RunId
    entry: Entry = field(repr=False)
    folder: str
    git_sha: Oid | None
    spec_blob: Oid

    @property
    def line(self) -> bytes:
        """Returns the line that stands in notes: run.json without its last newline."""
        return self.entry.data.removesuffix(b"\n")


class RecordChecker:
    """Takes one run entry after the other through steps 2 to 7."""

    def __init__(self, commits: Commits, ledger: Ledger) -> None:
        self._commits = commits
        self._ledger = ledger
        self.unpinned: list[RunId] = []
        """Runs in the shell `host`, which pins nothing."""

    def check(self, entry: Entry) -> Record | None:
        """Returns what the later steps need; None when run.json cannot be read as one."""
        manifest = self._schema(entry)
        if manifest is None:
            return None
        self._ids(entry, manifest)
        self._spec(entry, manifest)
        self._inputs(entry, manifest)
        self._lock(entry, manifest)
        self._artifacts(entry, manifest)
        folder = folder_of(manifest.timestamp_start, manifest.name, manifest.run_id, manifest.task.kind)
        return Record(manifest.run_id, entry, folder, manifest.git_sha, manifest.spec.blob)

    def _schema(self, entry: Entry) -> Manifest | None:
        self._ledger.checked(SCHEMA)
        place = f"{entry.place} run.json"
        try:
            value = json.loads(entry.data)
        except (ValueError, RecursionError) as error:
            at = getattr(error, "pos", getattr(error, "start", 0))
            self._ledger.wrong(SCHEMA, None, f"{place} byte {at}", "is not JSON", _EDITED)
            return None
        fault = run_schema().fault(value)
        if fault is not None:
            self._ledger.wrong(SCHEMA, None, place, f"does not fit the schema: {fault}", _EDITED)
        try:
            manifest = read_manifest(entry.data)
        except DataError as error:
            if fault is None:
                self._ledger.wrong(SCHEMA, None, place, error.message, error.hint or _EDITED)
            return None
        if not entry.data.endswith(b"\n"):
            self._ledger.wrong(SCHEMA, manifest.run_id, place, "does not end in a newline", _EDITED)
        return manifest

    def _ids(self, entry: Entry, manifest: Manifest) -> None:
        self._ledger.checked(IDS)
        for name, told, computed in (
            ("run_id", manifest.run_id, recomputed_run_id(manifest)),
            ("run_key", manifest.run_key, recomputed_run_key(manifest)),
        ):
            if told != computed:
                what = f"{name} is {told[:12]}, its fields give {computed[:12]}"
                self._ledger.wrong(IDS, manifest.run_id, f"{entry.place} run.json", what, _EDITED)

    def _spec(self, entry: Entry, manifest: Manifest) -> None:
        """The spec's bytes in the record, and the same blob in the commit at its path."""
        self._ledger.checked(SPEC)
        spec, run_id = manifest.spec, manifest.run_id
        kept = entry.files.get(spec_name(manifest))
        place = f"{entry.place} {spec_name(manifest)}"
        if kept is None:
            if not _is_withheld(manifest) and entry.is_whole:
                self._ledger.wrong(SPEC, run_id, place, "is missing", _EDITED)
        elif kept.sha256 != spec.sha256 or kept.blob != spec.blob:
            what = f"is not the spec that run.json names (sha256 {spec.sha256[:12]}, blob {spec.blob[:12]})"
            self._ledger.wrong(SPEC, run_id, place, what, _EDITED)
        if manifest.task.spec_path != spec.path:
            self._ledger.wrong(SPEC, run_id, f"{entry.place} run.json", "names two spec paths", _EDITED)
        pairs = [(str(spec.path), spec.sha256), *((item.path, item.sha256) for item in manifest.inputs)]
        if sha256_named(pairs) != spec.closure_sha256:
            self._ledger.wrong(SPEC, run_id, f"{entry.place} run.json", "closure_sha256 is not of its files", _EDITED)
        if manifest.git_sha is None:
            self._ledger.unknown(SPEC)
            return
        self._committed_spec(manifest, manifest.git_sha)

    def _committed_spec(self, manifest: Manifest, commit: Oid) -> None:
        spec, run_id = manifest.spec, manifest.run_id
        try:
            tree = self._commits.tree(commit)
            if tree != manifest.git_tree:
                what = f"has tree {tree[:12]}, the record says {(manifest.git_tree or 'none')[:12]}"
                self._ledger.wrong(SPEC, run_id, f"commit {commit[:12]}", what, _EDITED)
            found = self._commits.blob_oid(commit, spec.path)
            if found == spec.blob:
                self._commits.blob(found)
            elif not manifest.dirty:
                what = f"holds {found[:12] if found else 'no file'} there, the record says {spec.blob[:12]}"
                self._ledger.wrong(SPEC, run_id, f"commit {commit[:12]} {spec.path}", what, _EDITED)
        except Missing:
            self._ledger.unknown(SPEC)
        except DataError as error:
            self._ledger.wrong(SPEC, run_id, f"commit {commit[:12]} {spec.path}", error.message, "git fsck")

    def _inputs(self, entry: Entry, manifest: Manifest) -> None:
        run_id = manifest.run_id
        pairs = [("spec", manifest.spec.sha256), *((f"inputs/{item.path}", item.sha256) for item in manifest.inputs)]
        if sha256_named(pairs) != manifest.task.inputs_hash:
            self._ledger.wrong(INPUTS, run_id, f"{entry.place} run.json", "inputs_hash is not of its inputs", _EDITED)
        for item in manifest.inputs:
            self._ledger.checked(INPUTS)
            place = f"{entry.place} {INPUT_FILES}{item.path}"
            kept = entry.files.get(INPUT_FILES + item.path)
            if kept is None:
                if not _is_withheld(manifest) and entry.is_whole:
                    self._ledger.wrong(INPUTS, run_id, place, "is missing", _EDITED)
                continue
            if (kept.sha256, kept.size_bytes) != (item.sha256, item.size_bytes):
                self._ledger.wrong(INPUTS, run_id, place, "is not the input that run.json names", _EDITED)
            if manifest.git_sha is None:
                self._ledger.unknown(INPUTS)
                continue
            try:
                found = self._commits.blob_oid(manifest.git_sha, item.path)
                if found != kept.blob and not manifest.dirty:
                    what = f"holds {found[:12] if found else 'no file'} there, the run was given {kept.blob[:12]}"
                    self._ledger.wrong(INPUTS, run_id, f"commit {manifest.git_sha[:12]} {item.path}", what, _EDITED)
            except Missing:
                self._ledger.unknown(INPUTS)
            except DataError as error:
                place = f"commit {manifest.git_sha[:12]} {item.path}"
                self._ledger.wrong(INPUTS, run_id, place, error.message, "git fsck")

    def _lock(self, entry: Entry, manifest: Manifest) -> None:
        """The flake.lock and the environment's lock, as the commit holds them."""
        self._ledger.checked(LOCK)
        commit, run_id, shell = manifest.git_sha, manifest.run_id, manifest.shell
        if shell.kind == "host":
            self.unpinned.append(run_id)
        if commit is None:
            self._ledger.unknown(LOCK)
            return
        try:
            digest, metadata = self._commits.flake_lock(commit)
            place = f"commit {commit[:12]} flake.lock"
            if not manifest.dirty and digest != manifest.flake_lock_sha256:
                told = (manifest.flake_lock_sha256 or "none")[:12]
                what = f"has sha256 {(digest or 'none')[:12]}, the record says {told}"
                self._ledger.wrong(LOCK, run_id, place, what, _EDITED)
            elif not manifest.dirty and metadata != manifest.flake_metadata:
                self._ledger.wrong(LOCK, run_id, place, "pins something else than flake_metadata says", _EDITED)
            if shell.kind == "uv" and not self._has_lock(commit, manifest):
                if manifest.dirty:
                    self._ledger.unknown(LOCK)
                    return
                told = (shell.lock_sha256 or "none")[:12]
                what = f"pins the profile {shell.profile!r} by no uv.lock with the record's sha256: {told}"
                self._ledger.wrong(LOCK, run_id, f"commit {commit[:12]}", what, _EDITED)
        except Missing:
            self._ledger.unknown(LOCK)
        except DataError as error:
            self._ledger.wrong(LOCK, run_id, f"commit {commit[:12]}", error.message, "git fsck")

    def _has_lock(self, commit: Oid, manifest: Manifest) -> bool:
        return manifest.shell.lock_sha256 == self._commits.uv_lock(commit, manifest.shell.profile)

    def _artifacts(self, entry: Entry, manifest: Manifest) -> None:
        """Every artifact's bytes, and that the entry holds these files, run.json, and nothing else."""
        listed = {item.path: item for item in manifest.artifacts}
        run_id = manifest.run_id
        if len(listed) != len(manifest.artifacts):
            self._ledger.wrong(ARTIFACTS, run_id, f"{entry.place} run.json", "lists an artifact twice", _EDITED)
        for path, item in listed.items():
            self._ledger.checked(ARTIFACTS)
            kept = entry.files.get(path)
            if kept is None:
                if entry.is_whole:
                    self._ledger.wrong(ARTIFACTS, run_id, f"{entry.place} {path}", "is missing", _EDITED)
            elif (kept.sha256, kept.size_bytes) != (item.sha256, item.size_bytes):
                what = (
                    f"{span(0, kept.size_bytes)}: sha256 {kept.sha256[:12]}, {kept.size_bytes} bytes; "
                    f"run.json says {item.sha256[:12]}, {item.size_bytes} bytes"
                )
                self._ledger.wrong(ARTIFACTS, run_id, f"{entry.place} {path}", what, _EDITED)
        for extra in sorted(entry.files.keys() - listed.keys() - {RUN_FILE}):
            self._ledger.checked(ARTIFACTS)
            self._ledger.wrong(ARTIFACTS, run_id, f"{entry.place} {extra}", "is not in run.json", _EDITED)


def _is_withheld(manifest: Manifest) -> bool:
    """Says whether files may be gone because a secret stood in them: it must not enter git (design 4)."""
    return manifest.error is not None and manifest.error.slug == SecretFound.slug
