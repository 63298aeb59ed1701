"""Secrets that were never valid, put together when asked for, so that no scanner finds one in our sources."""

from __future__ import annotations

import base64
import json
import random
import string

LETTERS = string.ascii_letters + string.digits


def letters(size: int, seed: int = 1, alphabet: str = LETTERS) -> str:
    return "".join(random.Random(seed).choices(alphabet, k=size))


def mixed(size: int, seed: int = 1) -> str:
    return "a1B" + letters(size - 3, seed)


def web_token(seed: int = 1) -> str:
    parts = [{"alg": "HS256", "typ": "JWT"}, {"sub": letters(12, seed)}]
    head, body = (base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts)
    return f"{head}.{body}.{mixed(43, seed)}"


def planted(seed: int = 1) -> dict[str, str]:
    """Returns one secret of each kind that is known by its own format."""
    hexes = "0123456789abcdef"
    return {
        "Anthropic": "sk-" + "ant-api03-" + mixed(90, seed),
        "OpenAI project": "sk-" + "proj-" + mixed(48, seed),
        "OpenAI old": "sk-" + mixed(48, seed),
        "OpenAI marked": "sk-" + mixed(20, seed) + "T3Blbk" + "FJ" + mixed(20, seed + 1),
        "OpenRouter": "sk-" + "or-v1-" + letters(64, seed, hexes),
        "Hugging Face": "hf" + "_" + mixed(34, seed),
        "Google": "AI" + "za" + mixed(35, seed),
        "Google OAuth": "GOCSPX" + "-" + mixed(28, seed),
        "Ollama": letters(32, seed, hexes) + "." + mixed(24, seed),
        "GitHub": "ghp" + "_" + mixed(36, seed),
        "GitHub fine": "github" + "_pat_" + mixed(60, seed),
        "GitLab": "glpat" + "-" + mixed(20, seed),
        "AWS": "AK" + "IA" + letters(16, seed, string.ascii_uppercase + string.digits),
        "Stripe": "sk" + "_live_" + mixed(24, seed),
        "Slack": "xox" + "b-" + "123456789012-" + mixed(24, seed).lower(),
        "SendGrid": "SG" + "." + mixed(22, seed) + "." + mixed(43, seed),
        "npm": "npm" + "_" + mixed(36, seed),
        "PyPI": "pypi-" + "AgEIcHlwaS5vcmc" + mixed(80, seed),
        "JWT": web_token(seed),
        "Twilio": "AC" + letters(32, seed, string.ascii_lowercase + string.digits),
        "Telegram": "1234567890" + ":" + mixed(35, seed),
        "Discord": "M" + mixed(23, seed) + "." + mixed(6, seed) + "." + mixed(27, seed),
        "Mailchimp": letters(32, seed, string.ascii_lowercase + string.digits) + "-us" + "12",
        "macaroon hex": "0201036c6e64" + letters(120, seed, hexes),
        "macaroon base64": "AgEDbG5k" + mixed(120, seed),
        "age": "AGE-SECRET-" + "KEY-1" + letters(58, seed, string.ascii_uppercase + string.digits),
        "basic auth": "https://ada:" + mixed(16, seed) + "@example.invalid/",
        "private key": "-----BEGIN " + "RSA PRIVATE KEY-----",
        "encrypted key": "-----BEGIN " + "ENCRYPTED PRIVATE KEY-----",
        "OpenSSH key": "-----BEGIN " + "OPENSSH PRIVATE KEY-----",
        "PuTTY key": "PuTTY-User-Key-" + "File-3: ssh-ed25519",
        "bearer": "Authorization: " + "Bearer " + mixed(40, seed),
        "environment": "OLLAMA_API" + "_KEY=" + mixed(20, seed),
        "token in an environment": "HF_TO" + "KEN: " + mixed(20, seed),
        "Vault": "hv" + "s." + mixed(90, seed),
        "DigitalOcean": "dop" + "_v1_" + letters(64, seed, hexes),
        "Shopify": "shp" + "at_" + letters(32, seed, hexes),
        "name without a sign": "PGPASS" + "WORD=" + mixed(12, seed),
        "short name": "DB_P" + "ASS=" + mixed(12, seed),
        "name in small letters": "db_pass" + "word=" + mixed(12, seed),
        "name in small letters with a colon": "db_pass" + "word: " + mixed(12, seed),
        "value that looks like a variable": "PASS" + "WORD=$" + "ecretP4ss",
        "address whose password looks like a variable": "postgres://u:" + "$ecretpw1@h",
        "token in a document": '{"access' + '_token":"' + letters(32, seed, hexes) + '"}',
        "key word": "pass" + 'word = "' + mixed(12, seed) + '"',
        "key word in JSON": '{"api' + '_key": "' + mixed(12, seed) + '"}',
    }
