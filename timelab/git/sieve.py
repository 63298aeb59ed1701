"""Which of many commits may bring a spec, told without building what a plan needs of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from timelab.errors import SpecError
from timelab.git import trees
from timelab.git.dirty import LoadSpec
from timelab.git.repo import Repo, commit_info
from timelab.git.trees import TreeEntry
from timelab.names import Oid, path_fault
from timelab.plan import is_spec_path
from timelab.spec.paths import glob_matches
from timelab.spec.source import is_ours


class Sieve:
    """Says which commits may bring a spec, by what they change and by the words of the specs that stand in them.

    All strings of a spec count as such words, for any may name a file. So the closures of a commit that passes must
    still be looked at; one that does not pass brings none. Specs are read once, and trees listed only where no parent
    was asked about before.

    Args:
        repo: the repository.
        load_spec: reads a spec; raises `SpecError` for one that says nothing.
        patterns: of spec files, beside the built-in ones.
    """

    def __init__(self, repo: Repo, load_spec: LoadSpec, patterns: tuple[str, ...] = ()) -> None:
        self._repo = repo
        self._load_spec = load_spec
        self._patterns = patterns
        self._specs: dict[Oid, Mapping[str, TreeEntry]] = {}
        self._words: dict[tuple[str, Oid], tuple[frozenset[str], tuple[str, ...]]] = {}

    def may_bring(self, commit: Oid, changed: Mapping[str, TreeEntry]) -> bool:
        """Says whether a commit may bring a spec; ask about parents first."""
        specs = self._specs[commit] = self._specs_at(commit, changed)
        if not changed:
            return False
        # A spec names a file, or a folder above it, or a pattern that fits it.
        named = {path[:end] for path in changed for end in (*_slashes(path), len(path))}
        for path, entry in specs.items():
            if path in changed:
                return True
            words, patterns = self._words_of(path, entry)
            if not words.isdisjoint(named) or any(glob_matches(one, each) for one in patterns for each in changed):
                return True
        return False

    def _specs_at(self, commit: Oid, changed: Mapping[str, TreeEntry]) -> Mapping[str, TreeEntry]:
        """Returns the specs of a commit's tree; ones that were deleted since a known parent may be among them."""
        info = commit_info(self._repo, commit)
        before = self._specs.get(info.parents[0]) if info.parents else None
        if before is None:
            return self._only_specs(trees.list_tree(self._repo, info.tree))
        new = self._only_specs(changed)
        return {**before, **new} if new else before

    def _only_specs(self, entries: Mapping[str, TreeEntry]) -> dict[str, TreeEntry]:
        return {
            path: entry
            for path, entry in entries.items()
            if is_spec_path(path, self._patterns) and trees.is_text(path) and path_fault(path) is None
        }

    def _words_of(self, path: str, entry: TreeEntry) -> tuple[frozenset[str], tuple[str, ...]]:
        key = (path, entry.oid)
        if key not in self._words:
            words = set(_strings(self._load(path, entry)))
            patterns = tuple(sorted(word for word in words if any(sign in word for sign in "*?[") and "\n" not in word))
            self._words[key] = (frozenset(word.rstrip("/") for word in words), patterns)
        return self._words[key]

    def _load(self, path: str, entry: TreeEntry) -> object:
        """Returns the spec's content; nothing where there is none, for then its file is all that it is."""
        data = trees.fetch_blob(self._repo, entry.oid) if entry.is_file else None
        try:
            if data is not None and is_ours(data, path):
                return self._load_spec(data, path).model_dump(mode="json")
        except SpecError:
            pass
        return None


def _slashes(path: str) -> list[int]:
    return [at for at, sign in enumerate(path) if sign == "/"]


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _strings(each)
