"""E5: every error has one line here; its slug and code are promises."""

from __future__ import annotations

import pytest

from timelab import errors
from timelab.errors import Problem, SpecError, TimelabError

TABLE: dict[str, tuple[str, int, str]] = {
    "TimelabError": ("error", 70, "something failed"),
    "UsageError": ("usage", 64, "--staged takes no PATH"),
    "NotARepository": ("not-a-repository", 64, "not a git repository, nor any folder above"),
    "NotFound": ("not-found", 64, "no run begins with '3fa2'"),
    "MissingExtra": ("missing-extra", 64, "the part 'ollama' is not installed"),
    "DataError": ("data", 65, "timelab.toml: /wait: stands at the wrong place"),
    "SpecError": ("spec", 65, "specs/a.yaml:12:5: /timeout_s: must be > 0, not the number 0"),
    "ManifestError": ("manifest", 65, "run.json is not in canonical form"),
    "VerificationError": ("verification", 65, "artifact output/a.txt is not what the manifest says"),
    "ReplayDiffers": ("replay-differs", 65, "output/a.txt differs"),
    "ModelMismatch": ("model-mismatch", 65, "the model's digest is another"),
    "PathError": ("path", 65, "path '../x': leaves the repository ('..')"),
    "SecretFound": ("secret-found", 65, "output/a.txt:3 holds a secret"),
    "RunError": ("run", 70, "git took longer than 60 s"),
    "TaskError": ("task", 70, "exit code 3"),
    "ShellError": ("shell", 70, "no pinned shell serves the profile 'x'"),
    "SandboxError": ("sandbox", 70, "nothing can cut off the network here"),
    "ProviderError": ("provider", 70, "no provider answered"),
    "ProviderUnavailable": ("provider-unavailable", 70, "ollama at 127.0.0.1:11434 refused the connection"),
    "ModelAbsent": ("model-absent", 70, "ollama has no model qwen2.5:7b"),
    "GitError": ("git", 70, "git fetch failed with 128"),
    "StoreError": ("store", 70, "the store's lock is held by another process"),
}


def every(root: type[TimelabError]) -> dict[str, type[TimelabError]]:
    found = {root.__name__: root}
    for child in root.__subclasses__():
        if child.__module__ == errors.__name__:
            found.update(every(child))
    return found


def test_every_class_stands_in_the_table() -> None:
    """A223–A225: 64 is the call, 65 the data, 70 the work."""
    found = {name: (cls.slug, cls.exit_code) for name, cls in every(TimelabError).items()}
    assert found == {name: (slug, code) for name, (slug, code, _) in TABLE.items()}


def test_slugs_are_one_each() -> None:
    assert len({slug for slug, _, _ in TABLE.values()}) == len(TABLE)


def test_the_tree_is_drawn_in_the_docstring() -> None:
    for name in TABLE:
        assert f" {name} " in (errors.__doc__ or "").replace("\n", " \n")


@pytest.mark.parametrize("name", TABLE)
def test_a_message_is_lower_case_and_has_no_stop(name: str) -> None:
    """E4, for the examples of the table."""
    message = TABLE[name][2]
    error = every(TimelabError)[name](message, hint="do this")
    assert (error.message, error.hint, str(error)) == (message, "do this", message)
    assert not message.endswith(".")
    assert not message[0].isupper()


def test_a_problem_shows_what_it_knows() -> None:
    assert str(Problem("a.yaml", 1, 2, "/x", "is missing")) == "a.yaml:1:2: /x: is missing"
    assert str(Problem("a.yaml", 0, 0, "", "is UTF-16")) == "a.yaml: is UTF-16"
    error = SpecError.of((Problem("a.yaml", 1, 2, "/x", "is missing", "add it"),))
    assert (error.message, error.hint, len(error.problems)) == ("a.yaml:1:2: /x: is missing", "add it", 1)
