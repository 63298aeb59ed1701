"""Every environment variable that timelab reads or gives to tasks; the reference page comes from here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class EnvVar:
    """Is one variable: `read` by timelab, or `given` to the task that a spec runs."""

    name: str
    role: Literal["read", "given"]
    sentence: str


ENV_VARS: tuple[EnvVar, ...] = (
    EnvVar("TIMELAB_WAIT", "read", "`1` makes a commit wait for its runs and print their artifacts; `0` never waits."),
    EnvVar("TIMELAB_HOOK", "read", "`off` makes every hook of timelab leave at once; timelab sets it for its own git."),
    EnvVar(
        "TIMELAB_SANDBOX",
        "read",
        "`best-effort` lets a task run where no sandbox can be enforced, and the record says so; `enforce` refuses.",
    ),
    EnvVar("TIMELAB_SYNC_PREFIX", "read", "Puts the records under another ref prefix, for hosts that refuse ours."),
    EnvVar("XDG_CONFIG_HOME", "read", "Holds `timelab/config.toml`, the user's settings; default `~/.config`."),
    EnvVar("XDG_DATA_HOME", "read", "Holds `timelab/`, the user's allow-lists; default `~/.local/share`."),
    EnvVar("HOME", "read", "Is where the XDG folders are looked for when they are not set."),
    EnvVar("NO_COLOR", "read", "Turns colour off, whatever its value (no-color.org)."),
    EnvVar("TERM", "read", "`dumb` turns colour and moving progress lines off."),
    EnvVar("TIMELAB_INDEX_FILE", "read", "Is the index of the commit being made; the pre-commit stub sets it."),
    EnvVar("GIT_INDEX_FILE", "read", "Is the same where timelab's stub is not in between; git sets it in hooks."),
    EnvVar("OLLAMA_HOST", "read", "Is where the Ollama server stands, as Ollama has it; default `127.0.0.1:11434`."),
    EnvVar("OPENAI_BASE_URL", "read", "Is where the OpenAI-compatible server stands, unless the settings say it."),
    EnvVar("OPENAI_API_KEY", "read", "Is its key; for servers of the settings `api_key_env` names another variable."),
    EnvVar("TIMELAB_SRC", "given", "Is the folder with the commit's files, read-only; the task starts there."),
    EnvVar("TIMELAB_INPUT", "given", "Is the folder with the spec and the files it names, read-only."),
    EnvVar("TIMELAB_OUTPUT", "given", "Is the folder whose files become the run's artifacts."),
    EnvVar("TIMELAB_TMP", "given", "Is a folder that is thrown away after the run."),
)
"""In the order of the reference page."""
