"""Settings: defaults < the user's file < the repository's file < git config < environment, each with its origin."""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from re import fullmatch
from typing import Any, Literal, TypeAlias

from timelab.errors import DataError
from timelab.names import path_fault

Sandbox = Literal["enforce", "best-effort"]

USER_FILE = "the user's config.toml"
REPOSITORY_FILE = "timelab.toml"
PYPROJECT = "pyproject.toml"
MAX_BYTES = 256 * 1024

_REPOSITORY_KEYS = ("spec_patterns", "profiles")
_PROVIDER_KEYS = ("cascade_providers", "circuit_breaker_threshold", "circuit_breaker_pause_s")
_USER_KEYS = ("sandbox", *_PROVIDER_KEYS)
# The hooks read these too, and sh reads git's configuration, not TOML.
_GIT_ONLY = ("wait", "sync_prefix")
_PIN_KEYS = ("nix", "uv")
_OF_GIT = {
    "wait": "is for git: git config --global timelab.wait true",
    "sync_prefix": "is for git: git config timelab.syncPrefix refs/heads/timelab/",
}
_ELSEWHERE_FOR_USER: Mapping[str, str] = {**dict.fromkeys(_REPOSITORY_KEYS, "belongs into timelab.toml"), **_OF_GIT}
_ELSEWHERE_FOR_REPOSITORY: Mapping[str, str] = {
    **dict.fromkeys(_USER_KEYS, "is the user's to say: ~/.config/timelab/config.toml"),
    **_OF_GIT,
}
_NOWHERE: Mapping[str, str] = {}
_GIT_KEYS = {"timelab.wait": "wait", "timelab.syncprefix": "sync_prefix"}
_ENV_KEYS = {"TIMELAB_WAIT": "wait", "TIMELAB_SYNC_PREFIX": "sync_prefix", "TIMELAB_SANDBOX": "sandbox"}
_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off", ""})
# Read by pydantic when the schema is made; checking a file needs no pydantic, since every command reads settings.
_CLOSED = {"extra": "forbid"}


@dataclass(frozen=True)
class Profile:
    """Is one named shell's pins: a flake attribute for Nix, a folder with pyproject.toml and uv.lock for uv."""

    __pydantic_config__ = _CLOSED
    nix: str | None = None
    uv: str | None = None


@dataclass(frozen=True)
class ProviderConfig:
    """Is one entry of `cascade_providers`: a place that answers model calls (B53).

    `kind` is the prefix of the models it may serve. `api_key_env` names the environment variable that holds the key:
    the key itself stands in no file. `options` go to the provider as they are.
    """

    name: str
    kind: str
    base_url: str | None = None
    api_key_env: str | None = None
    concurrency: int = 1
    options: Mapping[str, bool | int | float | str] = field(default_factory=dict)


PROVIDER_KINDS = ("ollama", "llamacpp", "openai")
"""What `cascade_providers` may configure; `builtin` needs no configuration."""


@dataclass(frozen=True)
class Settings:
    """Is every setting in force; `origins` says for each name where its value comes from."""

    spec_patterns: tuple[str, ...] = ()
    profiles: Mapping[str, Profile] = field(default_factory=dict)
    sandbox: Sandbox = "enforce"
    wait: bool = False
    sync_prefix: str | None = None
    cascade_providers: tuple[ProviderConfig, ...] = ()
    circuit_breaker_threshold: int = 5
    circuit_breaker_pause_s: float = 30.0
    origins: Mapping[str, str] = field(default_factory=dict)

    def pin_of(self, profile: str, kind: str) -> str | None:
        """Returns the pin that the configuration names for a profile and a kind of shell (`nix`, `uv`), or None."""
        entry = self.profiles.get(profile)
        return getattr(entry, kind) if entry is not None and kind in _PIN_KEYS else None


SETTING_NAMES: tuple[str, ...] = (*_REPOSITORY_KEYS, "sandbox", *_GIT_ONLY, *_PROVIDER_KEYS)


@dataclass(frozen=True)
class ShownSetting:
    """Is a line of `timelab config`: a setting, its value as JSON has it, and where the value comes from."""

    name: str
    value: bool | int | float | str | tuple[str, ...] | tuple[ProviderConfig, ...] | dict[str, Profile] | None
    origin: str

    @property
    def text(self) -> str:
        """Returns the value on one line."""
        if isinstance(self.value, dict):
            pins = {name: {kind: pin for kind, pin in asdict(pair).items() if pin} for name, pair in self.value.items()}
            return json.dumps(pins, ensure_ascii=False) if pins else "-"
        if isinstance(self.value, tuple):
            return " ".join(each if isinstance(each, str) else each.name for each in self.value) or "-"
        if isinstance(self.value, bool):
            return "true" if self.value else "false"
        return f"{self.value:g}" if isinstance(self.value, (int, float)) else self.value or "-"


ShownSettings: TypeAlias = tuple[ShownSetting, ...]


def shown_settings(settings: Settings) -> ShownSettings:
    """Returns every setting with its origin, in the order of the reference page."""
    return tuple(
        ShownSetting(name, getattr(settings, name), settings.origins.get(name, "default")) for name in SETTING_NAMES
    )


@dataclass(frozen=True)
class RepositoryConfig:
    """What `timelab.toml`, or `[tool.timelab]` in pyproject.toml, may say.

    `spec_patterns` are globs of further spec files; `profiles` name the pinned shells. What decides over the user's
    own machine (`sandbox`, `wait`, `sync_prefix`) is not a repository's to say.
    """

    __pydantic_config__ = _CLOSED
    spec_patterns: tuple[str, ...] = ()
    profiles: dict[str, Profile] = field(default_factory=dict)


def user_config_path(environ: Mapping[str, str]) -> Path | None:
    """Returns where the user's settings lie: `timelab/config.toml` under XDG_CONFIG_HOME, else under ~/.config."""
    folder = environ.get("XDG_CONFIG_HOME", "")
    # A relative path in an XDG variable is to be ignored (XDG Base Directory Specification 0.8, "Environment").
    if folder.startswith("/"):
        return Path(folder) / "timelab" / "config.toml"
    home = environ.get("HOME", "")
    return Path(home) / ".config" / "timelab" / "config.toml" if home else None


def load_settings(
    *,
    repo_toml: bytes | None,
    pyproject: bytes | None,
    git_config: Mapping[str, str],
    environ: Mapping[str, str],
) -> Settings:
    """Returns the settings in force.

    Args:
        repo_toml: the bytes of the repository's timelab.toml.
        pyproject: the bytes of its pyproject.toml, of which only `[tool.timelab]` counts.
        git_config: git's `timelab.*` variables, names in lower case as git prints them.
        environ: environment variables; also says where the user's file lies, which is read here.

    Raises:
        DataError: a file is not TOML, a key is unknown or at the wrong place, a value is not one (65).
    """
    values: dict[str, Any] = {}
    origins = dict.fromkeys(SETTING_NAMES, "default")

    def take(found: Mapping[str, Any], origin: str) -> None:
        values.update(found)
        origins.update(dict.fromkeys(found, origin))

    take(_user_settings(environ), USER_FILE)
    take(*_repository_settings(repo_toml, pyproject))
    for name, text in git_config.items():
        if name == "timelab.sandbox":
            raise DataError(
                "git config: timelab.sandbox: this is not for a repository to say",
                hint='put sandbox = "best-effort" into ~/.config/timelab/config.toml',
            )
        if name in _GIT_KEYS:
            take({_GIT_KEYS[name]: _from_text(_GIT_KEYS[name], text, f"git config: {name}")}, f"git config {name}")
    for name, key in _ENV_KEYS.items():
        if name in environ:
            take({key: _from_text(key, environ[name], name)}, name)
    return Settings(**values, origins=origins)


def _user_settings(environ: Mapping[str, str]) -> dict[str, Any]:
    path = user_config_path(environ)
    try:
        data = path.read_bytes() if path else None
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise DataError(f"cannot read {USER_FILE}: {error.strerror}") from error
    if data is None:
        return {}
    table = _toml(data, USER_FILE)
    _check_keys(table, _USER_KEYS, USER_FILE, "", elsewhere=_ELSEWHERE_FOR_USER)
    return {key: _CHECKS[key](value, f"{USER_FILE}: /{key}") for key, value in table.items()}


def _repository_settings(repo_toml: bytes | None, pyproject: bytes | None) -> tuple[dict[str, Any], str]:
    section = _toml(pyproject, PYPROJECT).get("tool") if pyproject is not None and b"timelab" in pyproject else None
    inside = section.get("timelab") if isinstance(section, dict) else None
    if repo_toml is None and inside is None:
        return {}, REPOSITORY_FILE
    if repo_toml is not None and inside is not None:
        raise DataError(
            f"both {REPOSITORY_FILE} and [tool.timelab] in {PYPROJECT} hold settings", hint="keep one of them"
        )
    place, origin = ("", REPOSITORY_FILE) if repo_toml is not None else ("/tool/timelab", PYPROJECT)
    table = _toml(repo_toml, REPOSITORY_FILE) if repo_toml is not None else inside
    if not isinstance(table, dict):
        raise DataError(f"{origin}: {place}: must be a table")
    _check_keys(table, _REPOSITORY_KEYS, origin, place, elsewhere=_ELSEWHERE_FOR_REPOSITORY)
    return {key: _CHECKS[key](value, f"{origin}: {place}/{key}") for key, value in table.items()}, origin


def _toml(data: bytes, name: str) -> dict[str, Any]:
    if len(data) > MAX_BYTES and name != PYPROJECT:
        raise DataError(f"{name}: holds {len(data)} bytes, more than {MAX_BYTES}")
    try:
        return tomllib.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise DataError(f"{name}: is not UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{name}: not TOML: {ascii(str(error))[1:-1][:160]}") from error


def _check_keys(
    table: Mapping[str, Any],
    known: tuple[str, ...],
    name: str,
    place: str,
    *,
    elsewhere: Mapping[str, str] = _NOWHERE,
) -> None:
    for key in table:
        if key in known:
            continue
        if key in elsewhere:
            raise DataError(f"{name}: {place}/{key}: stands at the wrong place", hint=f"'{key}' {elsewhere[key]}")
        near = difflib.get_close_matches(key[:64], known, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"known here: {', '.join(known)}"
        raise DataError(f"{name}: {place}/{_show(key)}: unknown key", hint=hint)


def _show(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    safe = "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text[:80])
    return safe + "…" if len(text) > 80 else safe


def _patterns(value: Any, place: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(each, str) and 0 < len(each) <= 1024 for each in value):
        raise DataError(f"{place}: must be a list of globs, not {_show(value)}")
    for each in value:
        # git takes a leading ':' as pathspec magic, and '..' would leave the repository.
        fault = "begins with ':'" if each.startswith(":") else path_fault(each)
        if fault:
            raise DataError(f"{place}: {_show(each)}: {fault}")
    return tuple(value)


def _profiles(value: Any, place: str) -> dict[str, Profile]:
    if not isinstance(value, dict):
        raise DataError(f"{place}: must be a table of tables, not {_show(value)}")
    profiles = {}
    for name, pins in value.items():
        if not fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", name):
            raise DataError(f"{place}/{_show(name)}: is no profile's name: letters, digits, '_' and '-', at most 64")
        if not isinstance(pins, dict):
            raise DataError(f"{place}/{name}: must be a table, not {_show(pins)}")
        file, _, pointer = f"{place}/{name}".partition(": ")
        _check_keys(pins, _PIN_KEYS, file, pointer)
        for kind, pin in pins.items():
            if not isinstance(pin, str) or not pin or not pin.isprintable() or len(pin) > 1024:
                raise DataError(f"{place}/{name}/{kind}: must be a string, not {_show(pin)}")
        folder = pins.get("uv")
        if folder is not None and folder != "." and (fault := path_fault(folder)):
            raise DataError(f"{place}/{name}/uv: {_show(folder)}: {fault}")
        profiles[name] = Profile(**pins)
    return profiles


def _sandbox(value: Any, place: str) -> Sandbox:
    if value == "enforce":
        return "enforce"
    if value == "best-effort":
        return "best-effort"
    raise DataError(f"{place}: must be 'enforce' or 'best-effort', not {_show(value)}")


def _wait(value: Any, place: str) -> bool:
    if not isinstance(value, bool):
        raise DataError(f"{place}: must be true or false, not {_show(value)}")
    return value


def _sync_prefix(value: Any, place: str) -> str:
    if isinstance(value, str) and fullmatch(r"refs/[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*/?", value):
        return value.rstrip("/") + "/"
    raise DataError(f"{place}: must be a ref prefix like refs/heads/timelab/, not {_show(value)}")


def _providers(value: Any, place: str) -> tuple[ProviderConfig, ...]:
    if not isinstance(value, list):
        raise DataError(f"{place}: must be a list of tables: [[cascade_providers]]")
    found: list[ProviderConfig] = []
    for number, table in enumerate(value):
        here = f"{place}/{number}"
        if not isinstance(table, dict):
            raise DataError(f"{here}: must be a table, not {type(table).__name__}")
        found.append(_provider(table, here))
        if found[-1].name in [each.name for each in found[:-1]]:
            raise DataError(f"{here}/name: {found[-1].name} stands twice")
    return tuple(found)


def _provider(table: Mapping[str, Any], place: str) -> ProviderConfig:
    file, _, pointer = place.partition(": ")
    _check_keys(table, tuple(ProviderConfig.__dataclass_fields__), file, pointer, elsewhere=_KEY_GOES_ELSEWHERE)
    name, kind = table.get("name"), table.get("kind", table.get("name"))
    if not isinstance(name, str) or not fullmatch(r"[a-z][a-z0-9_-]{0,63}", name):
        raise DataError(f"{place}/name: must be a short name in lower case, not {_show(name)}")
    if kind not in PROVIDER_KINDS:
        raise DataError(f"{place}/kind: must be one of {', '.join(PROVIDER_KINDS)}, not {_show(kind)}")
    url, key, options = table.get("base_url"), table.get("api_key_env"), table.get("options", {})
    if url is not None and not (isinstance(url, str) and fullmatch(r"https?://[^\s/?#@]+(/[^\s?#]*)?", url)):
        # Never quoted: what stands before an @ may be a password.
        hint = "keys come from the environment: api_key_env = NAME" if "@" in str(url) else None
        raise DataError(f"{place}/base_url: must be http(s)://host[:port][/path], without a name or key", hint=hint)
    if key is not None and not (isinstance(key, str) and fullmatch(r"[A-Z_][A-Z0-9_]{0,127}", key)):
        hint = 'write its NAME, as in "OPENAI_API_KEY"; the key itself belongs in the environment'
        raise DataError(f"{place}/api_key_env: must be the name of an environment variable", hint=hint)
    if not isinstance(options, dict) or not all(isinstance(each, (bool, int, float, str)) for each in options.values()):
        raise DataError(f"{place}/options: must be a table of numbers, texts, true and false")
    concurrency = _whole(table.get("concurrency", 1), f"{place}/concurrency", 64)
    return ProviderConfig(name, str(kind), url, key, concurrency, options)


_KEY_GOES_ELSEWHERE = dict.fromkeys(("api_key", "key", "token"), "belongs in the environment: api_key_env = NAME")


def _whole(value: Any, place: str, most: int = 1_000) -> int:
    if type(value) is not int or not 1 <= value <= most:
        raise DataError(f"{place}: must be a whole number from 1 to {most}, not {_show(value)}")
    return value


def _seconds(value: Any, place: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= 86_400:
        raise DataError(f"{place}: must be a number of seconds above 0, at most 86400, not {_show(value)}")
    return float(value)


_CHECKS: dict[str, Callable[[Any, str], Any]] = {
    "spec_patterns": _patterns,
    "profiles": _profiles,
    "sandbox": _sandbox,
    "wait": _wait,
    "sync_prefix": _sync_prefix,
    "cascade_providers": _providers,
    "circuit_breaker_threshold": _whole,
    "circuit_breaker_pause_s": _seconds,
}


def _from_text(key: str, text: str, place: str) -> Any:
    if key == "wait":
        if text.lower() in _TRUE | _FALSE:
            return text.lower() in _TRUE
        raise DataError(f"{place}: must be 1 or 0, not {_show(text)}")
    return _CHECKS[key](text, place)
