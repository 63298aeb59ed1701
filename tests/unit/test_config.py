"""Settings come from five places, each value knows which, and a repository cannot decide over the user's machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from timelab.config import (
    SETTING_NAMES,
    Profile,
    ProviderConfig,
    Settings,
    load_settings,
    shown_settings,
    user_config_path,
)
from timelab.errors import DataError


def load(
    repo: str | None = None,
    *,
    pyproject: str | None = None,
    git: dict[str, str] | None = None,
    env: dict[str, str] | None = None,
) -> Settings:
    return load_settings(
        repo_toml=repo.encode() if repo is not None else None,
        pyproject=pyproject.encode() if pyproject is not None else None,
        git_config=git or {},
        environ=env or {},
    )


@pytest.fixture
def user(tmp_path: Path) -> Path:
    """Returns where the user's file lies, in a folder of its own."""
    path = tmp_path / "timelab/config.toml"
    path.parent.mkdir()
    return path


def test_without_anything_the_defaults_are_in_force() -> None:
    settings = load()
    assert (settings.sandbox, settings.wait, settings.spec_patterns, settings.sync_prefix) == (
        "enforce", False, (), None,
    )  # fmt: skip
    assert set(settings.origins.values()) == {"default"}


def test_a_repository_names_patterns_and_profiles() -> None:
    """A17: one pinned shell per profile."""
    text = 'spec_patterns = ["jobs/*.yaml"]\n[profiles.python_ml]\nnix = ".#python_ml"\nuv = "env/python_ml"\n'
    in_pyproject = text.replace("spec_patterns", "[tool.timelab]\nspec_patterns").replace("[prof", "[tool.timelab.prof")
    for settings, origin in ((load(text), "timelab.toml"), (load(pyproject=in_pyproject), "pyproject.toml")):
        assert settings.spec_patterns == ("jobs/*.yaml",)
        assert settings.profiles == {"python_ml": Profile(nix=".#python_ml", uv="env/python_ml")}
        assert settings.origins["profiles"] == origin
        assert settings.pin_of("python_ml", "uv") == "env/python_ml"
        assert settings.pin_of("python_ml", "host") is None
        assert settings.pin_of("default", "uv") is None


def test_the_stronger_place_wins_and_is_named(user: Path) -> None:
    user.write_text('sandbox = "best-effort"\n')
    home = {"XDG_CONFIG_HOME": str(user.parent.parent)}
    assert load(env=home).origins["sandbox"] == "the user's config.toml"
    over = load(git={"timelab.wait": "false"}, env=home)
    assert (over.wait, over.origins["wait"]) == (False, "git config timelab.wait")
    top = load(git={"timelab.wait": "false"}, env={**home, "TIMELAB_WAIT": "1"})
    assert (top.wait, top.origins["wait"], top.sandbox) == (True, "TIMELAB_WAIT", "best-effort")


def test_what_the_hooks_read_is_not_for_the_users_file(user: Path) -> None:
    """A setting that a file may hold and nobody obeys would be worse than none: sh does not read TOML."""
    user.write_text("wait = true\n")
    with pytest.raises(DataError, match="/wait: stands at the wrong place") as caught:
        load(env={"XDG_CONFIG_HOME": str(user.parent.parent)})
    assert caught.value.hint == "'wait' is for git: git config --global timelab.wait true"


def test_only_the_user_may_weaken_the_sandbox() -> None:
    """A191, design 4: best-effort comes from the user's file or environment, never from the repository."""
    assert load(env={"TIMELAB_SANDBOX": "best-effort"}).sandbox == "best-effort"
    with pytest.raises(DataError) as caught:
        load('sandbox = "best-effort"')
    assert caught.value.message == "timelab.toml: /sandbox: stands at the wrong place"
    assert caught.value.hint == "'sandbox' is the user's to say: ~/.config/timelab/config.toml"
    with pytest.raises(DataError, match="not for a repository to say"):
        load(git={"timelab.sandbox": "best-effort"})


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("spec_paterns = []", "timelab.toml: /spec_paterns: unknown key", "did you mean 'spec_patterns'?"),
        ("zzz = 1", "timelab.toml: /zzz: unknown key", "known here: spec_patterns, profiles"),
        ("[profiles.a]\nnixx = 1", "timelab.toml: /profiles/a/nixx: unknown key", "did you mean 'nix'?"),
        ("[profiles.a]\nnix = 1", "timelab.toml: /profiles/a/nix: must be a string, not 1", None),
        ("[profiles.a]\nuv = '../x'", "timelab.toml: /profiles/a/uv: ../x: leaves the repository ('..')", None),
        ("profiles = 1", "timelab.toml: /profiles: must be a table of tables, not 1", None),
        ("[profiles]\na = 1", "timelab.toml: /profiles/a: must be a table, not 1", None),
        (
            "[profiles.'a b']",
            "timelab.toml: /profiles/a b: is no profile's name: letters, digits, '_' and '-', at most 64",
            None,
        ),
        ("spec_patterns = 'x'", "timelab.toml: /spec_patterns: must be a list of globs, not x", None),
        ("spec_patterns = [':(top)x']", "timelab.toml: /spec_patterns: :(top)x: begins with ':'", None),
        ("spec_patterns = ['../x']", "timelab.toml: /spec_patterns: ../x: leaves the repository ('..')", None),
        ("wait = true", "timelab.toml: /wait: stands at the wrong place", None),
        ("a = [", "timelab.toml: not TOML: Invalid value (at end of document)", None),
    ],
)  # fmt: skip
def test_a_wrong_file_is_told_with_its_place(text: str, message: str, hint: str | None) -> None:
    with pytest.raises(DataError) as caught:
        load(text)
    assert caught.value.message == message
    assert caught.value.exit_code == 65
    if hint is not None:
        assert caught.value.hint == hint


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ({"TIMELAB_WAIT": "perhaps"}, "TIMELAB_WAIT: must be 1 or 0, not perhaps"),
        ({"TIMELAB_SANDBOX": "off"}, "TIMELAB_SANDBOX: must be 'enforce' or 'best-effort', not off"),
        (
            {"TIMELAB_SYNC_PREFIX": "heads"},
            "TIMELAB_SYNC_PREFIX: must be a ref prefix like refs/heads/timelab/, not heads",
        ),
        ({"TIMELAB_WAIT": "\x1b[31m"}, "TIMELAB_WAIT: must be 1 or 0, not \\x1b[31m"),
    ],
)
def test_a_wrong_variable_is_named(env: dict[str, str], message: str) -> None:
    with pytest.raises(DataError) as caught:
        load(env=env)
    assert caught.value.message == message


def test_two_files_of_a_repository_exclude_each_other() -> None:
    with pytest.raises(DataError, match="both"):
        load("", pyproject="[tool.timelab]\n")
    assert load("", pyproject="[tool.other]\ntimelab = 1\n") == load("")


def test_other_variables_of_git_are_left_alone() -> None:
    assert load(git={"timelab.command": "/x", "timelab.syncprefix": "refs/heads/timelab"}).sync_prefix == (
        "refs/heads/timelab/"
    )


def test_the_users_file_lies_where_xdg_says() -> None:
    assert user_config_path({"XDG_CONFIG_HOME": "/c", "HOME": "/h"}) == Path("/c/timelab/config.toml")
    assert user_config_path({"XDG_CONFIG_HOME": "relative", "HOME": "/h"}) == Path("/h/.config/timelab/config.toml")
    assert user_config_path({}) is None


def test_a_repositorys_key_in_the_users_file_is_sent_home(user: Path) -> None:
    user.write_text("[profiles.a]\n")
    with pytest.raises(DataError) as caught:
        load(env={"XDG_CONFIG_HOME": str(user.parent.parent)})
    assert caught.value.hint == "'profiles' belongs into timelab.toml"


def test_every_setting_is_shown_on_a_line() -> None:
    shown = shown_settings(load('spec_patterns = ["a", "b"]\n[profiles.x]\nuv = "."\n', env={"TIMELAB_WAIT": "yes"}))
    assert [(each.name, each.text, each.origin) for each in shown] == [
        ("spec_patterns", "a b", "timelab.toml"),
        ("profiles", '{"x": {"uv": "."}}', "timelab.toml"),
        ("sandbox", "enforce", "default"),
        ("wait", "true", "TIMELAB_WAIT"),
        ("sync_prefix", "-", "default"),
        ("cascade_providers", "-", "default"),
        ("circuit_breaker_threshold", "5", "default"),
        ("circuit_breaker_pause_s", "30", "default"),
    ]
    assert tuple(each.name for each in shown) == SETTING_NAMES


CASCADE = """
circuit_breaker_threshold = 3
circuit_breaker_pause_s = 1.5
[[cascade_providers]]
name = "ollama"
[[cascade_providers]]
name = "gpu"
kind = "ollama"
base_url = "http://10.0.0.7:11434"
concurrency = 4
options = {num_thread = 1}
[[cascade_providers]]
name = "openai"
base_url = "https://api.example.com/v1"
api_key_env = "EXAMPLE_KEY"
"""


def test_the_user_lists_who_answers_model_calls(user: Path) -> None:
    """B49, B53, B54: `cascade_providers: list[ProviderConfig]`, and when a breaker opens."""
    user.write_text(CASCADE)
    settings = load(env={"XDG_CONFIG_HOME": str(user.parent.parent)})
    assert settings.cascade_providers == (
        ProviderConfig("ollama", "ollama"),
        ProviderConfig("gpu", "ollama", "http://10.0.0.7:11434", None, 4, {"num_thread": 1}),
        ProviderConfig("openai", "openai", "https://api.example.com/v1", "EXAMPLE_KEY"),
    )
    assert (settings.circuit_breaker_threshold, settings.circuit_breaker_pause_s) == (3, 1.5)
    assert [each.text for each in shown_settings(settings)][-3:] == ["ollama gpu openai", "3", "1.5"]
    assert Settings().circuit_breaker_threshold == 5


@pytest.mark.parametrize("line", ["cascade_providers = []", "circuit_breaker_threshold = 1"])
def test_a_repository_does_not_say_where_prompts_go(line: str) -> None:
    """B56: base addresses and names of keys are the user's."""
    with pytest.raises(DataError) as caught:
        load(line + "\n")
    assert "the user's to say" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("entry", "what"),
    [
        ('name = "Bad Name"', "/cascade_providers/0/name: must be a short name"),
        ('name = "gpu"', "/cascade_providers/0/kind: must be one of ollama, llamacpp, openai"),
        ('name = "ollama"\nbase_url = "ftp://x"', "/cascade_providers/0/base_url: must be http"),
        ('name = "ollama"\nbase_url = "http://me:planted@x"', "without a name or key"),
        ('name = "openai"\napi_key_env = "planted-value"', "must be the name of an environment variable"),
        ('name = "openai"\napi_key = "planted-value"', "/cascade_providers/0/api_key: stands at the wrong place"),
        ('name = "openai"\nurl = "x"', "/cascade_providers/0/url: unknown key"),
        ('name = "ollama"\nconcurrency = 0', "whole number from 1 to 64"),
        ('name = "ollama"\noptions = {a = [1]}', "/cascade_providers/0/options: must be a table"),
        ('name = "ollama"\n[[cascade_providers]]\nname = "ollama"', "ollama stands twice"),
    ],
)
def test_a_wrong_provider_is_told_and_no_key_is_quoted(user: Path, entry: str, what: str) -> None:
    """B56: a key that was put into the file by mistake is not repeated."""
    user.write_text(f"[[cascade_providers]]\n{entry}\n")
    with pytest.raises(DataError) as caught:
        load(env={"XDG_CONFIG_HOME": str(user.parent.parent)})
    assert what in caught.value.message and "planted" not in caught.value.message + str(caught.value.hint)


@pytest.mark.parametrize(
    "line",
    ["circuit_breaker_threshold = 0", "circuit_breaker_threshold = true", "circuit_breaker_pause_s = 0",
     'circuit_breaker_pause_s = "1"', "cascade_providers = 1", "cascade_providers = [1]"],
)  # fmt: skip
def test_a_wrong_number_or_list_is_told(user: Path, line: str) -> None:
    user.write_text(line + "\n")
    with pytest.raises(DataError):
        load(env={"XDG_CONFIG_HOME": str(user.parent.parent)})
