"""The user's configuration becomes the router's entries; what is not asked is not loaded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from timelab.cli.provider_table import CLASSES, address_for, configs_of, key_of, router_for
from timelab.config import PROVIDER_KINDS, ProviderConfig, Settings
from timelab.errors import DataError

NONE: dict[str, str] = {}


def test_what_is_not_configured_is_there_by_itself(tmp_path: Path) -> None:
    """B49, B53: the user's entries first, in their order."""
    assert {*PROVIDER_KINDS, "builtin"} == set(CLASSES)
    settings = Settings(cascade_providers=(ProviderConfig("b", "ollama"), ProviderConfig("a", "ollama", concurrency=3)))
    router = router_for(settings, tmp_path, NONE, root=tmp_path)
    assert [(each.name, each.kind, each.concurrency) for each in router.entries] == [
        ("b", "ollama", 1), ("a", "ollama", 3), ("llamacpp", "llamacpp", 1), ("openai", "openai", 1),
        ("builtin", "builtin", 1),
    ]  # fmt: skip
    assert [each.name for each in router.serving("ollama:x")] == ["b", "a"]
    assert all(router.provider(each).name == each.kind for each in router.entries)


@pytest.mark.parametrize(
    ("url", "environ", "leaves"),
    [
        (None, NONE, False),
        (None, {"OLLAMA_HOST": "0.0.0.0:1234"}, False),
        (None, {"OLLAMA_HOST": "gpu.example"}, True),
        ("http://localhost:1/v1", NONE, False),
        ("http://[::1]:1", NONE, False),
        ("http://10.0.0.7:11434", {"OLLAMA_HOST": "127.0.0.1"}, True),
    ],
)
def test_who_is_on_another_machine_is_known_before_anything_is_asked(
    url: str | None, environ: dict[str, str], leaves: bool, tmp_path: Path
) -> None:
    settings = Settings(cascade_providers=(ProviderConfig("ollama", "ollama", url),))
    router = router_for(settings, None, environ, root=tmp_path)
    assert [each.leaves for each in router.entries] == [leaves, False, True, False]
    assert address_for(settings, "ollama", environ) == (url or environ.get("OLLAMA_HOST") or "127.0.0.1:11434")
    assert address_for(settings, "builtin", environ) == ""


def test_a_key_goes_only_where_the_user_sends_it() -> None:
    """B56: a server of the settings never gets the key of another."""
    environ = {"OPENAI_API_KEY": "one", "NEAR": "two"}
    assert key_of(ProviderConfig("openai", "openai"), environ) == "one"
    assert key_of(ProviderConfig("near", "openai", "http://x"), environ) is None
    assert key_of(ProviderConfig("near", "openai", "http://x", "NEAR"), environ) == "two"
    assert key_of(ProviderConfig("near", "openai", "http://x", "FAR"), environ) is None
    assert key_of(ProviderConfig("ollama", "ollama"), environ) is None


def test_options_go_to_the_provider_and_unknown_ones_are_told(tmp_path: Path) -> None:
    configs = (
        ProviderConfig("ollama", "ollama", options={"threads": 1}),
        ProviderConfig("odd", "ollama", options={"thread": 1}),
        ProviderConfig("bad", "openai", options={"api_key": "x"}),
    )
    router = router_for(Settings(cascade_providers=configs), None, NONE, root=tmp_path)
    good, odd, bad = router.entries[:3]
    assert router.provider(good).name == "ollama"
    for entry, option in ((odd, "thread"), (bad, "api_key")):
        with pytest.raises(DataError, match=f"takes no option '{option}'"):
            router.provider(entry)
    assert len(configs_of(Settings())) == 4


def test_a_command_spec_loads_no_provider(repo: Path) -> None:
    """S3: `timelab run` of a command must not wait for what only prompts need."""
    (repo / "specs").mkdir()
    body = {"timelab": 1, "kind": "command", "profile": "host", "argv": ["true"]}
    (repo / "specs/a.json").write_text(json.dumps(body))
    code = (
        "import sys; from timelab.cli import cli; code = cli.main(['run', 'specs/a.json'], standalone_mode=False);"
        "sys.stderr.write('\\n@@' + ' '.join(sys.modules)); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=repo, env=dict(os.environ), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    loaded = set(done.stderr.rpartition("@@")[2].split())
    ours = {"http", "ollama", "llamacpp", "openai_compat", "builtin", "recorded"}
    assert loaded & {"httpx", "ollama", "xllamacpp", *(f"timelab.providers.{name}" for name in ours)} == set()
