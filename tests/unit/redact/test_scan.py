"""What is found, where, and what is left alone."""

from __future__ import annotations

import base64
import json
import os
import random
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers import make_manifest
from tests.unit.redact.fakes import letters, mixed, planted
from timelab.redact import Finding, find_secrets, scan_folder
from timelab.redact.scan import BLOCK_BYTES, OVERLAP_BYTES, hits

SECRETS = planted()
PROSE = b"A quiet line that says nothing of note.\n"


@pytest.mark.parametrize("kind", SECRETS)
def test_each_kind_is_found_on_its_line(kind: str) -> None:
    """A188."""
    data = PROSE * 3 + f"it is {SECRETS[kind]} \n".encode() + PROSE
    assert {finding.line for finding in find_secrets(data, "output/answer.txt")} == {4}


@pytest.mark.parametrize("kind", SECRETS)
@pytest.mark.parametrize("wrap", ["json", "twice", "utf-16-le", "utf-16-be", "crlf", "binary", "one long line"])
def test_each_kind_is_found_in_each_coat(kind: str, wrap: str) -> None:
    secret = SECRETS[kind]
    text = f"first\nit is {secret} \nlast"
    data = {
        "json": lambda: json.dumps({"output": text}).encode(),
        "twice": lambda: json.dumps({"log": json.dumps({"output": text})}).encode(),
        "utf-16-le": lambda: text.encode("utf-16-le"),
        "utf-16-be": lambda: text.encode("utf-16-be"),
        "crlf": lambda: text.replace("\n", "\r\n").encode(),
        "binary": lambda: b"\xff\xfe\x00\x01" + text.encode() + b"\x00\x80",
        "one long line": lambda: b"word " * 9_000 + text.replace("\n", " ").encode() + b" word" * 9_000,
    }[wrap]()
    assert find_secrets(data, "output/answer.jsonl")


def test_finding_never_shows_the_value() -> None:
    """A187: neither a finding nor what it is made of shows a secret."""
    for secret in SECRETS.values():
        found = hits(secret.encode(), "a.txt")
        assert found
        assert secret not in repr(found) + str(find_secrets(secret.encode(), "a.txt"))


HEX = "0123456789abcdef"
HARMLESS = {
    "sha256": f'{{"run_key":"{letters(64, 1, HEX)}","hash":"sha256:{letters(64, 2, HEX)}"}}',
    "git oid": f"commit {letters(40, 3, HEX)}\nkey: {letters(40, 3, HEX)}",
    "time and digest": f"1234567890:{letters(64, 4, HEX)}",
    "Lightning preimage": f"preimage {letters(64, 5, HEX)}",
    "digest under a secret name": f'"client_secret_sha256": "{letters(64, 6, HEX)}"',
    "uuid": f'api_key_id = "{uuid.UUID(int=random.Random(1).getrandbits(128))}"',
    "subresource digest": f'"sec{"ret"}": "sha256-{base64.b64encode(bytes(32)).decode()}"',
    "image": f'<img src="data:image/png;base64,{base64.b64encode(random.Random(2).randbytes(60_000)).decode()}">',
    "wrapped image": base64.encodebytes(random.Random(3).randbytes(60_000)).decode(),
    "binary": random.Random(4).randbytes(200_000).decode("latin-1"),
    "template": "password: {{ password }}\ntoken = \"${API_TOKEN}\"\nAPI_KEY=$API_KEY\n",
    "reference": "api_key = os.environ['API_KEY']\nsecret = get_secret(name)\nAPI_KEY=os.environ['OTHER_KEY']",
    "variables": "PASSWORD=$PASSWORD\nDB_PASS=$DB_PASS2\npostgres://$USER:$PASSWORD@host/\npostgres://u:${PW}@host\n"
    "password=$password\nAUTH_TOKEN=$(cat token)\ndb_password: $db_password\n",
    "code": "def connect(db_password: str, access_token=None, db_pass=config.value_2()): ...\n"
    "self.access_token = self.access_token or tokens[0]\nnext_token: 12 of 13\n3 passed, tests_pass=12345 of 9\n",
    "hashed": f'"hashed_secret": "{letters(40, 9, HEX)}"',
    "address": "see https://example.invalid:8080/@ada and git@example.invalid:ada/repo.git, http://[::1]:80/x@y",
    "names only": "env: [OPENAI_API_KEY, HF_TOKEN]\n",
    "mask": 'password = "********"',
    "prose": "The secret: it takes practice. TOP SECRET: everything here. What is a password, and whose key is it?",
    "sentence in quotes": '{"sec' + 'ret": "the old man is the king of the land"}',
    "slug": '{"error":{"message":"input/spec.yaml:3: Secret Keyword","slug":"secret-found"}}',
    "hyphens": "a task-" + "oriented-and-long-hyphenated-" * 3 + "name",
}  # fmt: skip


@pytest.mark.parametrize("kind", HARMLESS)
@pytest.mark.parametrize("name", ["run.json", "output/a.txt"])
def test_what_only_looks_secret_is_left_alone(kind: str, name: str) -> None:
    assert find_secrets(HARMLESS[kind].encode("latin-1"), name) == []


def test_prose_in_a_yaml_spec_is_no_setting() -> None:
    spec = b"description: how to rotate the secret: monthly\nprompt: What is the password: explain it in two words\n"
    assert find_secrets(spec, "input/spec.yaml") == []


def test_configuration_needs_no_quotes() -> None:
    line = b"db_pass" + b"word: " + b"sword" + b"fish"
    assert find_secrets(line, "input/spec.yaml") and not find_secrets(line, "notes.md")


def test_harmless_assignment_does_not_hide_the_next_on_its_line() -> None:
    line = '{"pass' + 'word": "${PASSWORD}", "api' + f'_key": "{mixed(20)}"}}'
    assert [finding.kind for finding in find_secrets(line.encode(), "a.json")] == ["Secret Keyword"]


def test_manifest_of_a_run_is_clean() -> None:
    assert find_secrets(make_manifest().to_bytes(), "run.json") == []


@pytest.mark.parametrize("at", [0, BLOCK_BYTES - OVERLAP_BYTES - 40, BLOCK_BYTES - 40, BLOCK_BYTES, BLOCK_BYTES + 9])
def test_secret_on_a_line_of_many_megabytes_is_found_wherever_it_stands(at: int, tmp_path: Path) -> None:
    secret = SECRETS["Anthropic"].encode()
    data = b"x" * (at - 1) + b" " * (at > 0) + secret + b" " + b"x" * BLOCK_BYTES
    (tmp_path / "big.bin").write_bytes(data)
    assert find_secrets(data, "big.bin") == [Finding(1, "Anthropic API key")]
    assert scan_folder(tmp_path) == [("big.bin", Finding(1, "Anthropic API key"))]


def test_line_numbers_hold_over_blocks(tmp_path: Path) -> None:
    before = PROSE * (2 * BLOCK_BYTES // len(PROSE) + 7)
    data = before + SECRETS["Hugging Face"].encode()
    (tmp_path / "big.txt").write_bytes(data)
    wanted = Finding(before.count(b"\n") + 1, "Hugging Face token")
    assert find_secrets(data, "big.txt") == [wanted]
    assert scan_folder(tmp_path) == [("big.txt", wanted)]


@pytest.mark.parametrize("unit", ["secret", "secret:", 'secret:"', "key" + " " * 5_000, "eyJ", "://a:", "awskey", "`"])
def test_hostile_repetition_ends(unit: str) -> None:
    """Each of these made a pattern of detect-secrets, or of ours, quadratic or cubic; a run-away would not end."""
    data = unit.encode() * (200_000 // len(unit)) + b"\n"
    planted = data + b"key " + SECRETS["Hugging Face"].encode() + b"\n"
    assert Finding(2, "Hugging Face token") in find_secrets(planted, "a.yaml")


def test_folder_is_read_in_order_and_links_are_not_followed(tmp_path: Path) -> None:
    folder = tmp_path / "staging"
    (folder / "output").mkdir(parents=True)
    (folder / "logs").mkdir()
    (tmp_path / "outside.txt").write_text(SECRETS["GitHub"])
    (folder / "output/link.txt").symlink_to(tmp_path / "outside.txt")
    (folder / "output/b.txt").write_text("\n" + SECRETS["GitHub"])
    (folder / "logs/a.txt").write_text(SECRETS["Hugging Face"])
    (folder / "output/empty").touch()
    found = [(path, finding.line) for path, finding in scan_folder(folder)]
    assert found == [("logs/a.txt", 1), ("output/b.txt", 2)]


def test_secret_in_a_file_name_is_found_at_line_zero(tmp_path: Path) -> None:
    name = SECRETS["Hugging Face"] + ".txt"
    (tmp_path / name).write_text("nothing")
    (tmp_path / os.fsdecode(b"\xff\xfe.bin")).write_bytes(b"")
    assert scan_folder(tmp_path) == [(name, Finding(0, "Hugging Face token"))]


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=4_000), st.sampled_from(["a.yaml", "a.json", "run.json", "", "ü.TOML"]))
def test_no_bytes_break_the_scan(data: bytes, name: str) -> None:
    found = find_secrets(data, name)
    assert all(0 <= finding.line <= data.count(b"\n") + 1 for finding in found)
    planted = data + b"\n" + SECRETS["Hugging Face"].encode() + b"\n"
    assert Finding(data.count(b"\n") + 2, "Hugging Face token") in find_secrets(planted, name)


def test_clean_run_loads_no_detect_secrets() -> None:
    """The gates decide; a clean spec, output and manifest must not pay for the import."""
    program = (
        "import sys\nfrom timelab.redact import find_secrets\n"
        "assert not find_secrets(sys.stdin.buffer.read(), 'run.json')\n"
        "assert not any(name.startswith('detect_secrets') for name in sys.modules)\n"
    )
    data = (
        make_manifest().to_bytes() + HARMLESS["prose"].encode() + b'\n{"output":"Keys and tokens, a secret garden."}\n'
    )
    done = subprocess.run([sys.executable, "-c", program], input=data, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
