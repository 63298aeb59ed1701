"""Our own secret formats, where detect-secrets has none: model providers, macaroons, keys, headers, environments."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property


def _always(match: re.Match[str]) -> bool:
    return True


@dataclass(frozen=True)
class Rule:
    """Is one format: `needles` (lower case) of which one must stand in the text, and the pattern of the whole.

    Every pattern starts with a literal, a boundary or a class that the needle fixes, so that a scan stays linear. The
    group `value`, where there is one, is the secret inside the match.
    """

    kind: str
    needles: tuple[str, ...]
    source: str
    is_real: Callable[[re.Match[str]], bool] = _always

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Returns the compiled pattern; compiled at the first text that holds a needle."""
        return re.compile(self.source)

    def find(self, text: str, lowered: str) -> list[re.Match[str]]:
        """Returns the matches that are real."""
        if not any(needle in lowered for needle in self.needles):
            return []
        return [match for match in self.pattern.finditer(text) if self.is_real(match)]


def value_of(match: re.Match[str]) -> str:
    """Returns the secret inside a match."""
    return match.group("value") if "value" in match.re.groupindex else match.group()


def is_mixed(value: str) -> bool:
    """Says whether a value has a digit, a small and a capital letter, as a random key nearly always has."""
    return bool(re.search(r"[0-9]", value) and re.search(r"[a-z]", value) and re.search(r"[A-Z]", value))


def _is_mixed(match: re.Match[str]) -> bool:
    return is_mixed(value_of(match))


def is_literal(value: str) -> bool:
    """Says whether a value could be a secret itself, and is no reference, template, call, path or mask of one."""
    bare = value.strip()
    if len(bare) < 2 or not re.search(r"[A-Za-z]", bare):
        return False
    if (
        bare[0] in "<{%*"
        or _is_reference(bare)
        or bare.startswith(("/", "./", "~/", "\\", "["))
        or "{{" in bare
        or "${" in bare
    ):
        return False
    if bare.lower() in PLACEHOLDERS:
        return False
    return not re.match(r"[\w.-]+[\[(]|os\.environ|process\.env|getenv", bare)


def _is_reference(value: str) -> bool:
    """Says whether `$…` stands for something else: `$NAME`, `$name`, `$(…)`; `$ecretP4ss` is a word of its own."""
    if not value.startswith("$"):
        return False
    is_word = re.fullmatch(r"\$[A-Za-z][A-Za-z0-9!#%^&*]+", value) is not None
    return not (is_word and re.search(r"[a-z]", value) and re.search(r"[0-9!#%^&*]", value))


# Words that stand where a value belongs and say that there is none.
PLACEHOLDERS = frozenset(
    {"none", "null", "nil", "true", "false", "undefined", "redacted", "masked", "hidden", "required", "optional"}
)

_B64 = r"A-Za-z0-9+/_\-"
_START = f"(?<![{_B64}])"
_END = f"(?![{_B64}=])"
_WORD_START = "(?<![A-Za-z0-9])"
_ENV_NAME = (
    # Of a password the name may run on without a sign between, as in PGPASSWORD; `BYPASS` is none.
    r"(?:PASSWORD|PASSWD|(?<=_)PASS|(?<![A-Z0-9])(?:API_?KEY|ACCESS_KEY|SECRET_KEY|PRIVATE_KEY|SIGNING_KEY|ENCRYPTION_KEY|MASTER_KEY|ACCOUNT_KEY|TOKEN|SECRET"
    r"|PASSPHRASE|CREDENTIALS|MACAROON(?:_HEX)?))[\"']?[ \t]{0,4}"
)
_TOKEN_NAME = (
    r"(?<![A-Za-z0-9])(?i:access|refresh|auth|bearer|session|api|deploy|bot)[_-]?(?i:token)|(?i:client[_-]?secret)"
)
_SMALL_NAME = r"(?<=[a-z0-9]_)(?:password|passwd|passphrase|pass|secret|api_key|access_key|secret_key|private_key)"


def _is_set(match: re.Match[str]) -> bool:
    """Says whether the value of a name in small letters is one: words, calls and names of code have no digit."""
    value = match["value"]
    return is_literal(value) and re.search(r"[0-9]", value) is not None and re.search(r"[()\[\]]|://", value) is None


def _is_long(match: re.Match[str]) -> bool:
    return _is_set(match) and not re.fullmatch(r"[0-9]+", match["value"])


RULES: tuple[Rule, ...] = (
    # sk-ant-api03-…, sk-proj-…, sk-svcacct-…, sk-or-v1-…; the old form is 48 letters and digits.
    Rule("Anthropic API key", ("sk-ant-",), _WORD_START + r"sk-ant-[A-Za-z0-9_-]{16,}"),
    Rule(
        "OpenAI API key",
        ("sk-",),
        _WORD_START + r"sk-(?:(?:proj|svcacct|admin|or|lf|None)-[A-Za-z0-9_-]{16,}|[A-Za-z0-9]{32,})",
    ),
    Rule("Hugging Face token", ("hf_", "api_org_"), _WORD_START + r"(?:hf|api_org)_[A-Za-z0-9]{30,}"),
    Rule("Google API key", ("aiza",), _START + r"AIza[0-9A-Za-z_-]{35}" + _END),
    Rule("Google OAuth secret", ("gocspx-",), _WORD_START + r"GOCSPX-[0-9A-Za-z_-]{20,}"),
    Rule("Google OAuth token", ("ya29.",), _WORD_START + r"ya29\.[0-9A-Za-z_-]{20,}"),
    # 32 hex digits, a dot and 24 signs: keys of ollama.com.
    Rule(
        "Ollama API key", (".",), r"\.(?<=(?<![0-9A-Za-z])[0-9a-f]{32}\.)(?P<value>[A-Za-z0-9_-]{24})" + _END, _is_mixed
    ),
    Rule("Groq API key", ("gsk_",), _WORD_START + r"gsk_[A-Za-z0-9]{40,}"),
    Rule("xAI API key", ("xai-",), _WORD_START + r"xai-[A-Za-z0-9]{60,}"),
    Rule("Replicate token", ("r8_",), _WORD_START + r"r8_[A-Za-z0-9]{37,}"),
    Rule("GitHub Token", ("github_pat_",), _WORD_START + r"github_pat_[A-Za-z0-9_]{22,}"),
    Rule("GitHub Token", ("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), r"gh[pousr]_[A-Za-z0-9_]{36,}"),
    Rule("NPM tokens", ("npm_",), _WORD_START + r"npm_[A-Za-z0-9]{36}"),
    Rule("Slack Token", ("xapp-", "xoxe-", "xoxe."), _WORD_START + r"x(?:app|oxe)[-.][A-Za-z0-9-]{20,}"),
    # lnd: 02 01 03 "lnd"; and the packet "00xxlocation " of version 1, in hex and base64.
    Rule("Macaroon", ("0201036c6e64",), r"0201036[cC]6[eE]64[0-9a-fA-F]{40,}"),
    Rule("Macaroon", ("agedbg5k",), _START + r"AgEDbG5k[A-Za-z0-9+/_-]{40,}"),
    Rule("Macaroon", ("xvy2f0aw9u",), r"MDA[w-z0-9][A-Za-z0-9][GWm2]xvY2F0aW9u[A-Za-z0-9+/_-]{20,}"),
    Rule("Private Key", ("private key",), r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"),
    Rule("Private Key", ("putty-user-key-file-",), r"PuTTY-User-Key-File-[0-9]"),
    Rule("Private Key", ("age-secret-key-1",), r"AGE-SECRET-KEY-1[0-9A-Z]{40,}"),
    Rule("Private Key", ("nsec1",), _WORD_START + r"nsec1[02-9ac-hj-np-z]{58}(?![a-z0-9])"),
    Rule("Private Key", ("xprv", "yprv", "zprv", "tprv"), _WORD_START + r"[xyzt]prv[1-9A-HJ-NP-Za-km-z]{100,}"),
    Rule("JSON Web Token", ("eyj",), _START + r"eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"),
    Rule(
        "Authorization header",
        ("authorization",),
        r"(?i:authorization)[\"']?\s{0,4}[:=]\s{0,4}[\"']?(?i:bearer|basic|token|key)\s{1,4}"
        r"(?P<value>[A-Za-z0-9._~+/=-]{16,})",
    ),
    Rule("Vault token", ("hvs.", "hvb.", "hvr."), _WORD_START + r"hv[sbr]\.[A-Za-z0-9_-]{20,}"),
    Rule("DigitalOcean token", ("_v1_",), r"(?<![A-Za-z0-9])do[por]_v1_[0-9a-f]{64}"),
    Rule("Shopify token", ("shp",), _WORD_START + r"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}"),
    # With signs that RFC 3986 wants escaped in a password, and people do not: detect-secrets has none of those.
    Rule(
        "Basic Auth Credentials",
        ("://",),
        r"://[^\s:/?#\[\]@\"'<>]{0,100}:(?P<value>[^\s:/?#\[\]@\"'<>{}]{3,200})@(?=[\w\[])",
        lambda match: is_literal(match["value"]),
    ),
    # "access_token": "…", and db_password=… in whatever file that lands.
    Rule(
        "Secret in a document",
        ("token", "secret"),
        r"(?:" + _TOKEN_NAME + r")[\"'][ \t]{0,4}:[ \t]{0,4}[\"'](?P<value>[A-Za-z0-9._~+/=-]{16,})[\"']",
        _is_long,
    ),
    Rule(
        "Secret in a setting",
        ("token", "secret", "passw", "passphrase", "pass", "key"),
        r"(?:" + _TOKEN_NAME + "|" + _SMALL_NAME + r")[ \t]{0,4}(?:=(?!=)|:)[ \t]{0,4}(?P<value>[^\s\"',;]{8,})",
        _is_set,
    ),
    # NAME_API_KEY=value as `env`, a shell or a .env file writes it, in whatever file that lands. After a colon the
    # value needs a digit, because `TOP SECRET: everything` is prose.
    Rule(
        "Secret in an environment",
        ("key", "token", "secret", "pass", "credentials", "macaroon"),
        _ENV_NAME + r"(?P<sign>=(?!=)|:)[ \t]{0,4}[\"']?(?P<value>[^\s\"',;]{8,})",
        lambda match: (
            is_literal(match["value"]) and (match["sign"] == "=" or re.search(r"[0-9]", match["value"]) is not None)
        ),
    ),
)
