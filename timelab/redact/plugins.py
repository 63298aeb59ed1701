"""The door to detect-secrets: a gate for each of its rules, and the rule itself behind it (`gates.py`).

Its rules for high entropy are off, because they flag every digest, and so is the one for public IP addresses.
"""

from __future__ import annotations

import re

from timelab.redact.gates import Gate, JwtGate
from timelab.redact.keywords import KEYWORDS, KeywordGate
from timelab.redact.rules import is_literal, is_mixed

# What may stand between a name and its value in detect-secrets' `build_assignment_regex`, sign and spaces optional.
_ASSIGN = r"[\"']?\]? *+(?:::|:=|=>|=|:)? *+[\"']?"
_KEYS = r"(?:key|pwd|pw|password|pass|token)"
_KEY_NEEDLES = ("key", "pw", "pass", "token")
# RFC 3986 section 2.2, as in the plugin for basic authentication.
_NO_DELIMITER = r"[^:/?#\[\]@!$&'()*+,;=\s]"


def _in_base64(value: str, window: str) -> bool:
    """Says whether a value is a piece of a long run of base64, such as an image's."""
    at = window.find(value)
    around = window[max(0, at - 100) : at + len(value) + 100]
    return re.search(r"[A-Za-z0-9+/=]{100}", around) is not None


def _not_base64(value: str, window: str) -> bool:
    return not _in_base64(value, window)


def _is_aws(value: str, window: str) -> bool:
    return not re.fullmatch(r"[0-9a-f]{40}", value) and not _in_base64(value, window)


def _is_telegram(value: str, window: str) -> bool:
    at = window.find(value)
    near = window[max(0, at - 1) : at] + window[at + len(value) : at + len(value) + 1]
    return re.search(r"[0-9A-Za-z_-]", near) is None and is_mixed(value.partition(":")[2])


def _is_mixed(value: str, window: str) -> bool:
    return is_mixed(value)


def _has_digit(value: str, window: str) -> bool:
    return re.search(r"[0-9]", value) is not None and not _in_base64(value, window)


def _is_password(value: str, window: str) -> bool:
    return is_literal(value)


GATES: tuple[Gate, ...] = (
    Gate(
        "artifactory",
        "ArtifactoryDetector",
        ("akc", "ap"),
        r"A(?<![^\s=:\"]A)(?:KC[a-zA-Z0-9]{10}|P[0-9A-F][a-zA-Z0-9]{8})[a-zA-Z0-9]*+(?![^\s\"])",
        _has_digit,
    ),
    Gate(
        "aws",
        "AWSKeyDetector",
        ("a3t", "abia", "acca", "akia", "asia"),
        r"A(?:3T.|BIA|CCA|KIA|SIA)[0-9A-Z]{16}",
        _is_aws,
    ),
    Gate("aws", "AWSKeyDetector", ("aws",), r"(?i:aws).{0,20}?(?i:key|pw|pass|token).{0,24}?['\"]", _is_aws),
    Gate("azure_storage_key", "AzureStorageKeyDetector", ("accountkey=",), r"AccountKey=[a-zA-Z0-9+/=]{88}"),
    Gate("basic_auth", "BasicAuthDetector", ("://",), rf"://{_NO_DELIMITER}++:{_NO_DELIMITER}++@", _is_password),
    Gate(
        "cloudant",
        "CloudantDetector",
        ("cl",),
        rf"cl(?:oudant|ou)?[_-]?(?:api)?{_KEYS}{_ASSIGN}(?:[0-9a-f]{{64}}|[a-z]{{24}})",
        lower=True,
    ),
    Gate("cloudant", "CloudantDetector", (".cloudant.com",), r"\.cloudant\.com", lower=True),
    Gate(
        "discord",
        "DiscordBotTokenDetector",
        (".",),
        r"\.(?<=[a-zA-Z0-9_-]{23}\.)[a-zA-Z0-9_-]{6}\.[a-zA-Z0-9_-]{27}",
        _is_mixed,
    ),
    Gate("github_token", "GitHubTokenDetector", ("gh",), r"gh[pousr]_[A-Za-z0-9_]{36}"),
    Gate(
        "gitlab_token",
        "GitLabTokenDetector",
        ("gl",),
        r"gl(?:pat|dt|ft|soat|rt|cbt|imt|ptt|agent|oas)-[A-Za-z0-9_-]{20}",
    ),
    Gate("gitlab_token", "GitLabTokenDetector", ("gr1348941",), r"GR1348941[A-Za-z0-9_-]{20}"),
    Gate(
        "ibm_cloud_iam",
        "IbmCloudIamDetector",
        _KEY_NEEDLES,
        rf"{_KEYS}{_ASSIGN}[a-z0-9_-]{{44}}(?![a-z0-9_-])",
        _is_mixed,
        lower=True,
    ),
    Gate(
        "ibm_cos_hmac",
        "IbmCosHmacDetector",
        ("secret",),
        rf"secret[-_]?(?:access)?[-_]?key{_ASSIGN}[a-f0-9]{{48}}",
        lower=True,
    ),
    JwtGate("jwt", "JwtTokenDetector", ("eyj",), r"[A-Za-z0-9_=-]*+", ahead=12_288),
    Gate("mailchimp", "MailchimpDetector", ("-us",), r"-us(?<=[0-9a-z]{32}-us)[0-9]"),
    Gate("npm", "NpmDetector", ("/:_authtoken=",), r"/:_authToken=", back=128, ahead=128),
    Gate("openai", "OpenAIDetector", ("t3blbkfj",), r"T3BlbkFJ"),
    Gate(
        "private_key",
        "PrivateKeyDetector",
        ("private key", "putty-user-key-file-2"),
        r"BEGIN (?:(?:DSA |EC |OPENSSH |PGP |RSA |SSH2 ENCRYPTED )?PRIVATE KEY)|PuTTY-User-Key-(?:File-2)",
    ),
    Gate("pypi_token", "PypiTokenDetector", ("pypi-age",), r"pypi-AgE"),
    Gate("sendgrid", "SendGridDetector", ("sg.",), r"SG\.[a-zA-Z0-9_-]{22}\."),
    Gate("slack", "SlackDetector", ("xox",), r"xox[abposr]-\d", lower=True),
    Gate("slack", "SlackDetector", ("hooks.slack.com/services/",), r"hooks\.slack\.com/services/", lower=True),
    Gate(
        "softlayer",
        "SoftlayerDetector",
        ("sl", "softlayer"),
        rf"(?:softlayer|sl)[_-]?(?:api)?[_-]?{_KEYS}{_ASSIGN}[a-z0-9]{{64}}",
        lower=True,
    ),
    Gate("softlayer", "SoftlayerDetector", ("/soap/v3",), r"://api.softlayer.com/soap/v3", lower=True),
    Gate("square_oauth", "SquareOAuthDetector", ("sq0csp-",), r"sq0csp-"),
    Gate("stripe", "StripeDetector", ("k_live_",), r"[rs]k_live_[0-9a-zA-Z]{24}"),
    Gate("telegram_token", "TelegramBotTokenDetector", (":",), r":(?<=[0-9]{8}:)[0-9A-Za-z_-]{35}", _is_telegram),
    Gate("twilio", "TwilioKeyDetector", ("ac", "sk"), r"(?:AC|SK)[a-z0-9]{32}", _not_base64),
    KeywordGate("keyword", "KeywordDetector", ("key", "pass", "pwd", "secret", "contrase"), KEYWORDS),
)
