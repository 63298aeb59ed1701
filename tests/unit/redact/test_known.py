"""Which variables of a spec are secrets, and that their values are found as they stand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from timelab.redact import Finding, known_secrets, mask, scan_folder

VALUE = "correct horse 9"


@pytest.mark.parametrize(
    "name", ["PGPASSWORD", "DB_PASS", "DEPLOY_TOKEN", "API_KEY", "db_pwd", "MYSQL_PW", "HTTP_AUTH", "WIFI_PSK", "jwt"]
)
def test_a_name_that_sounds_secret_counts(name: str) -> None:
    assert known_secrets({name: VALUE}) == {VALUE: name}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LANG", "en_GB.UTF-8"),
        ("HOME", "/home/somebody"),
        ("AUTHOR_NAME", "Ada Lovelace"),
        ("SSH_AUTH_SOCK", "/tmp/ssh-x/agent.1"),
        ("TOKEN_FILE", "/run/secrets/token"),
        ("PASS_PATH", "relative/folder"),
        ("KEY", "/usr/bin"),
        ("TOKEN", "true"),
        ("SECRET", "optional"),
        ("DB_PASS", "postgres"),
        ("DB_PASS", "short"),
        ("PASS_COUNT", "123456"),
        ("TOKEN", "********"),
        ("TOKEN", ""),
    ],
)
def test_what_is_no_secret_fails_no_run(name: str, value: str) -> None:
    """A188: passing a language or a path to a task must not fail every run that prints it."""
    assert known_secrets({name: value}) == {}


def test_a_password_in_an_address_counts_whatever_the_name() -> None:
    address = "postgres://ada:" + "plain-word@db.invalid/x"
    assert known_secrets({"DATABASE_URL": address}) == {"plain-word": "DATABASE_URL"}


def test_a_key_of_several_lines_is_told_by_each_of_them() -> None:
    lines = ["-----BEGIN X-----", "first line of the key", "second line of the key", "end", "-----END X-----"]
    assert set(known_secrets({"SIGNING_KEY": "\n".join(lines)})) == set(lines[1:3])


@pytest.mark.parametrize("value", ["correct horse 9", 'quote"back\\slash', "pässwörter", "$ecret/+="])
@pytest.mark.parametrize("wrap", ["plain", "json", "binary", "wide"])
def test_a_known_value_is_found_in_each_coat(tmp_path: Path, value: str, wrap: str) -> None:
    """A188."""
    if wrap == "wide" and not value.isascii():
        return
    text = f"first\nit is {value}.\n"
    data = {
        "plain": text.encode(),
        "json": b"\n" + json.dumps({"said": text}, ensure_ascii=False).encode(),
        "binary": b"\xff\x00\n" + text.encode()[6:],
        "wide": text.encode("utf-16-le"),
    }[wrap]
    (tmp_path / "a.txt").write_bytes(data)
    assert scan_folder(tmp_path) == []
    known = known_secrets({"PGPASSWORD": value})
    assert scan_folder(tmp_path, known) == [("a.txt", Finding(2, "value of PGPASSWORD"))]


def test_a_known_value_in_a_file_name_is_found_and_masked_in_messages(tmp_path: Path) -> None:
    """A187."""
    known = known_secrets({"DB_PASS": "swordfish" + "-pie"})
    (tmp_path / "for-swordfish-pie.txt").touch()
    assert [finding.line for _, finding in scan_folder(tmp_path, known)] == [0]
    assert mask("cannot log in with swordfish-pie today", known) == "cannot log in with *** today"
    assert mask("cannot log in with swordfish-pie today") == "cannot log in with swordfish-pie today"
