"""Finds a repository, names commits, and says what stood in one: the `CommitState` that a plan is made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from timelab.errors import DataError, GitError, NotARepository, NotFound
from timelab.git import trees
from timelab.git.program import git, require_git, said
from timelab.names import Oid
from timelab.process import Completed

if TYPE_CHECKING:
    import pygit2 as libgit2

    from timelab.plan import CommitState

_ABBREVIATED = 12
_EXTENSIONS = ("partialclone", "relativeworktrees", "worktreeconfig", "noop", "preciousobjects")
"""Repository extensions that change nothing about how objects and loose refs are read (git-config(1), extensions.*)."""


@dataclass(frozen=True)
class Repo:
    """Is a repository as git found it; all paths are absolute.

    `git_dir` is that of this work tree, `common_dir` the one that all linked work trees share and where everything of
    ours lives. `root` is the work tree, None in a bare repository.
    """

    git_dir: Path
    common_dir: Path
    root: Path | None
    object_format: str = "sha1"
    _open: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False, hash=False)

    def __reduce__(self) -> tuple[Any, ...]:
        """Leaves libgit2's handles behind when it goes to another process."""
        return (Repo, (self.git_dir, self.common_dir, self.root, self.object_format))

    @property
    def timelab_dir(self) -> Path:
        """Returns the folder for our own files, shared by all work trees; it may not exist yet."""
        return self.common_dir / "timelab"

    @property
    def is_partial(self) -> bool:
        """Says whether objects may be missing because the clone was a partial one."""
        if "partial" not in self._open:
            keys = r"^(extensions\.partialclone|remote\..*\.promisor)$"
            found = self.git(["config", "--get-regexp", keys], check=False)
            self._open["partial"] = found.code == 0
        return bool(self._open["partial"])

    def git(
        self,
        args: Sequence[str | Path],
        *,
        input: bytes | None = None,
        check: bool = True,
        timeout_s: float = 60.0,
        env: Mapping[str, str] | None = None,
    ) -> Completed:
        """Runs the git program on exactly this repository."""
        return git(
            [f"--git-dir={self.git_dir}", *args],
            cwd=self.root or self.common_dir,
            input=input,
            check=check,
            timeout_s=timeout_s,
            env=env,
        )

    def pygit2(self) -> libgit2.Repository:
        """Returns libgit2's handle on the common git dir, opened once.

        It is opened bare: no work tree, no index, no filters. libgit2 looks again at refs and packs that other
        processes wrote when it does not find an object, and reads loose refs from disk each time.

        Raises:
            GitError: a SHA-256 or reftable repository, which libgit2 cannot read (1.9).
        """
        if "repository" not in self._open:
            self._open["repository"] = self._open_libgit2()
        handle: libgit2.Repository = self._open["repository"]
        return handle

    def _open_libgit2(self) -> libgit2.Repository:
        import pygit2
        from pygit2.enums import RepositoryOpenFlag

        if self.object_format != "sha1":
            raise GitError(
                f"this repository names its objects by {self.object_format}, which libgit2 cannot read",
                hint="timelab needs a repository made with `git init --object-format=sha1` (git's default)",
            )
        # Whether this user may use the repository was asked of git itself in `discover`; libgit2 would ask again by
        # rules of its own (it knows no safe.directory from the command line or the environment).
        pygit2.settings.owner_validation = False
        pygit2.settings.set_extensions(list(_EXTENSIONS))
        flags = RepositoryOpenFlag.NO_SEARCH | RepositoryOpenFlag.BARE | RepositoryOpenFlag.NO_DOTGIT
        try:
            handle = pygit2.Repository(str(self.common_dir), flags)
        except pygit2.GitError as error:
            raise GitError(f"libgit2 cannot open the repository: {ascii(str(error))[:200]}") from error
        handle.set_ident("timelab", "timelab@timelab.invalid")
        return handle

    def odb(self) -> Any:
        """Returns libgit2's object database, opened once."""
        if "odb" not in self._open:
            self._open["odb"] = self.pygit2().odb
        return self._open["odb"]


@dataclass(frozen=True)
class CommitInfo:
    """Is what a commit says of itself. `author` and `committer` are `Name <mail>`; the time is UTC."""

    oid: Oid
    tree: Oid
    parents: tuple[Oid, ...]
    author: str
    committer: str
    committed_at: datetime
    subject: str


def discover(start: Path) -> Repo:
    """Returns the repository that `start`, an existing folder, lies in.

    Raises:
        NotARepository: there is none, or git does not trust its owner (`safe.directory`).
        GitError: git is older than `MIN_GIT`.
    """
    if not start.is_dir():
        raise NotARepository(f"no such folder: {ascii(str(start))[:200]}")
    asked = ["--path-format=absolute", "--git-dir", "--git-common-dir", "--is-bare-repository", "--show-object-format"]
    # --show-toplevel comes last: git prints the others before it fails for want of a work tree.
    done = git(["rev-parse", *asked, "--show-toplevel"], cwd=start, check=False)
    lines = done.stdout.decode("utf-8", "surrogateescape").splitlines()
    if not 4 <= len(lines) <= 5 or lines[0].startswith("-"):
        # An old git prints the options that it does not know.
        require_git()
    if len(lines) < 4:
        raise _not_here(done)
    if len(lines) > 5:
        raise NotARepository("the repository's path holds a line break, which git's answers cannot carry")
    git_dir, common_dir = Path(lines[0]), Path(lines[1])
    root = Path(lines[4]) if len(lines) == 5 else None
    if root is None and lines[2] == "false":
        root = _root_of(git_dir)
    return Repo(git_dir, common_dir, root, lines[3])


def _not_here(done: Completed) -> NotARepository:
    reason = said(done)
    if "dubious ownership" in reason or "safe.directory" in reason:
        return NotARepository(
            "git does not trust this repository: another user owns it",
            hint="if you do: git config --global --add safe.directory <path of the repository>",
        )
    if "not a git repository" in reason:
        return NotARepository("not a git repository, nor any folder above", hint="git init")
    return NotARepository(f"git cannot read this repository: {reason}")


def _root_of(git_dir: Path) -> Path | None:
    """Returns the work tree when we stand inside the git dir, as some hooks do."""
    if git_dir.name == ".git":
        return git_dir.parent
    try:
        return Path((git_dir / "gitdir").read_text(encoding="utf-8", errors="surrogateescape").strip()).parent
    except OSError:
        return None


def resolve(repo: Repo, name: str) -> Oid:
    """Returns the commit that a name (branch, tag, abbreviated id, `HEAD~2`) stands for.

    Raises:
        NotFound: there is none.
    """
    if name and not name.startswith("-") and "\0" not in name:
        done = repo.git(["rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}"], check=False)
        found = done.stdout.decode("ascii", "replace").strip()
        if done.code == 0 and found:
            return Oid(found)
    raise NotFound(f"no such commit: {ascii(name)[:120]}")


def commit_info(repo: Repo, oid: str) -> CommitInfo:
    """Returns what stands in a commit object."""
    header, _, message = trees.read_typed(repo, oid, trees.COMMIT).partition(b"\n\n")
    fields: dict[bytes, bytes] = {}
    parents: list[Oid] = []
    for line in header.split(b"\n"):
        key, _, value = line.partition(b" ")
        if key == b"parent":
            parents.append(Oid(value.decode("ascii", "replace")))
        elif key:
            fields.setdefault(key, value)
    if not {b"tree", b"author", b"committer"} <= fields.keys():
        raise DataError(f"commit {oid} lacks a tree, an author or a committer")
    author, _ = _person(fields[b"author"], fields.get(b"encoding"))
    committer, seconds = _person(fields[b"committer"], fields.get(b"encoding"))
    paragraph = message.strip(b"\n").partition(b"\n\n")[0]
    return CommitInfo(
        oid=Oid(oid),
        tree=Oid(fields[b"tree"].decode("ascii", "replace")),
        parents=tuple(parents),
        author=author,
        committer=committer,
        committed_at=_instant(seconds),
        subject=" ".join(_text(paragraph, fields.get(b"encoding")).splitlines()),
    )


def _person(value: bytes, encoding: bytes | None) -> tuple[str, int]:
    name, _, rest = value.rpartition(b">")
    try:
        seconds = int(rest.split()[0])
    except (IndexError, ValueError):
        seconds = 0
    return _text(name + b">", encoding), seconds


def _text(value: bytes, encoding: bytes | None) -> str:
    try:
        return value.decode(encoding.decode("ascii") if encoding else "utf-8")
    except (UnicodeDecodeError, LookupError):
        return value.decode("utf-8", "replace")


def _instant(seconds: int) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, OSError, ValueError):
        return datetime.fromtimestamp(0, UTC)


def commit_state(repo: Repo, commit: Oid | None, *, overlay: Mapping[str, bytes] | None = None) -> CommitState:
    """Returns what a plan needs of the repository at a commit, or before the first one (None).

    `overlay` holds files taken from the work tree; they win, and make the state dirty. `paths` lists files and links;
    a link is there but reads as None. Submodules, and names that are not UTF-8, are left out. `code_tree` is for
    the caller to fill in (`trees.code_tree`): only it knows what the kind of task can read.
    """
    from timelab.plan import CommitState

    laid_over = dict(overlay or {})
    info = commit_info(repo, commit) if commit else None
    entries = {
        path: entry
        for path, entry in (trees.list_tree(repo, info.tree) if info else {}).items()
        if entry.mode != trees.SUBMODULE and trees.is_text(path)
    }

    def read(path: str) -> bytes | None:
        if path in laid_over:
            return laid_over[path]
        entry = entries.get(path)
        return trees.fetch_blob(repo, entry.oid) if entry and entry.is_file else None

    return CommitState(
        git_sha=info.oid if info else None,
        git_tree=info.tree if info else None,
        describe=_describe(repo, info.oid, dirty=bool(laid_over)) if info else None,
        dirty=bool(laid_over),
        committed_at=info.committed_at if info else None,
        paths=tuple(sorted({*entries, *laid_over})),
        read=read,
        flake_lock=read("flake.lock"),
    )


def _describe(repo: Repo, oid: Oid, *, dirty: bool) -> str | None:
    # A fixed length: by default git abbreviates by how many objects this clone happens to have.
    done = repo.git(["describe", "--always", f"--abbrev={_ABBREVIATED}", oid], check=False)
    name = done.stdout.decode("utf-8", "replace").strip()
    return name + ("-dirty" if dirty else "") if done.code == 0 and name else None


def is_ancestor(repo: Repo, ancestor: str, descendant: str) -> bool:
    """Says whether the first commit is reachable from the second; a commit is its own ancestor."""
    if ancestor == descendant:
        return True
    done = repo.git(["merge-base", "--is-ancestor", ancestor, descendant], check=False)
    if done.code not in (0, 1):
        raise GitError(f"git cannot tell how {ancestor[:12]} and {descendant[:12]} are related: {said(done)}")
    return done.code == 0
