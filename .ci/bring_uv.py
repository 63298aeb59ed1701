"""Brings the uv that uv.lock names into a folder, checked against the hashes that stand there.

Run by `./lab` with any Python >= 3.11 and nothing but the standard library, before there is an environment:
`python .ci/bring_uv.py uv.lock .lab/uv`. The program ends up at `<folder>/bin/uv`.

Two ways, in this order. A virtual environment and its pip, because pip knows the user's index, proxy and certificates
better than we do. Where `venv` or `ensurepip` is missing (Debian and Ubuntu without `python3-venv`), the wheel is
downloaded by hand: from PIP_INDEX_URL or UV_DEFAULT_INDEX or PyPI, through the proxy of the environment, trusting
SSL_CERT_FILE. Either way only a file with the locked sha256 is accepted.
"""

from __future__ import annotations

import configparser
import hashlib
import io
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from pathlib import Path
from typing import NamedTuple

TIMEOUT_S = 60.0


class Wheel(NamedTuple):
    """Is one file of the lock: its name says for which system, its digest what must be in it."""

    filename: str
    url: str
    sha256: str


def locked_wheels(lock: Path) -> tuple[str, list[Wheel]]:
    """Returns the version of uv that a uv.lock names, and its wheels."""
    for package in tomllib.loads(lock.read_text(encoding="utf-8"))["package"]:
        if package["name"] == "uv":
            wheels = [
                Wheel(entry["url"].rsplit("/", 1)[1], entry["url"], entry["hash"].removeprefix("sha256:"))
                for entry in package["wheels"]
            ]
            return str(package["version"]), wheels
    raise SystemExit(f"lab: {lock} names no uv")


def suits(filename: str, *, system: str, machine: str, libc: str) -> bool:
    """Says whether a wheel runs here; `libc` is `glibc X.Y` on glibc systems, anything else means musl."""
    tags = filename.removesuffix(".whl").split("-")[-1].split(".")
    machine = {"arm64": "aarch64", "amd64": "x86_64"}.get(machine.lower(), machine.lower())
    if system == "Darwin":
        wanted = {"x86_64": "x86_64", "aarch64": "arm64"}.get(machine)
        return any(tag.startswith("macosx_") and tag.endswith(f"_{wanted}") for tag in tags)
    if not libc.startswith("glibc "):
        return any(tag.startswith("musllinux_") and tag.endswith(f"_{machine}") for tag in tags)
    here = tuple(int(part) for part in libc.removeprefix("glibc ").split(".")[:2])
    for tag in tags:
        match = re.fullmatch(r"manylinux_(\d+)_(\d+)_(\w+)", tag)
        if match and match[3] == machine and (int(match[1]), int(match[2])) <= here:
            return True
    return False


def choose(wheels: list[Wheel]) -> Wheel:
    """Returns the wheel for this system."""
    try:
        libc = os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (ValueError, OSError):
        libc = ""
    for wheel in wheels:
        if suits(wheel.filename, system=platform.system(), machine=platform.machine(), libc=libc):
            return wheel
    raise SystemExit(
        f"lab: no uv for {platform.system()} {platform.machine()} in uv.lock\n"
        "hint: install uv 0.9 or newer yourself (https://docs.astral.sh/uv/) and put it on PATH"
    )


def with_pip(version: str, wheels: list[Wheel], folder: Path) -> bool:
    """Makes a virtual environment and lets its pip install uv by hash; says whether that worked."""
    made = subprocess.run([sys.executable, "-m", "venv", str(folder)], capture_output=True, check=False)
    if made.returncode:
        return False
    requirements = folder / "uv-requirements.txt"
    hashes = " ".join(f"--hash=sha256:{wheel.sha256}" for wheel in wheels)
    requirements.write_text(f"uv=={version} {hashes}\n", encoding="utf-8")
    install = ["install", "--quiet", "--require-hashes", "--no-deps", "--only-binary", ":all:", "-r", str(requirements)]
    done = subprocess.run(
        [str(folder / "bin" / "python"), "-m", "pip", *install],
        env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        print(f"lab: pip could not bring uv {version}:\n{done.stderr.strip()[-1000:]}", file=sys.stderr)
    return done.returncode == 0


def index_url() -> str | None:
    """Returns the package index that the user set for pip or uv, or None."""
    for name in ("PIP_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL"):
        if os.environ.get(name):
            return os.environ[name]
    home = Path.home()
    config = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
    for path in (os.environ.get("PIP_CONFIG_FILE"), config / "pip/pip.conf", home / ".pip/pip.conf", "/etc/pip.conf"):
        parser = configparser.ConfigParser(interpolation=None)
        try:
            found = parser.read(path) if path else []
        except configparser.Error:
            continue
        if found and parser.has_option("global", "index-url"):
            return parser.get("global", "index-url")
    return None


def fetch(url: str) -> bytes:
    """Returns what lies at a URL; credentials in the URL are sent as a header and never printed."""
    parts = urllib.parse.urlsplit(url)
    request = urllib.request.Request(url)
    if parts.username:
        import base64

        bare = parts._replace(netloc=parts.netloc.rsplit("@", 1)[1])
        word = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
        request = urllib.request.Request(urllib.parse.urlunsplit(bare))
        request.add_unredirected_header("Authorization", f"Basic {base64.b64encode(word.encode()).decode()}")
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
        body: bytes = answer.read()
        return body


def wheel_url(wheel: Wheel) -> str:
    """Returns where to get a wheel: as the user's index links it, else as the lock says."""
    index = index_url()
    if not index:
        return wheel.url
    page = index.rstrip("/") + "/uv/"
    for link in re.findall(r"""href\s*=\s*["']([^"']+)""", fetch(page).decode("utf-8", "replace")):
        target: str = urllib.parse.urljoin(page, link.split("#", 1)[0])
        if urllib.parse.unquote(target.split("?", 1)[0]).endswith("/" + wheel.filename):
            return target
    raise SystemExit(f"lab: the package index has no {wheel.filename}")


def by_hand(wheel: Wheel, folder: Path) -> None:
    """Downloads one wheel, checks its digest, and unpacks its programs."""
    try:
        data = fetch(wheel_url(wheel))
    except (urllib.error.URLError, OSError) as error:
        raise SystemExit(
            f"lab: cannot download {wheel.filename}: {error}\n"
            "hint: set PIP_INDEX_URL, HTTPS_PROXY or SSL_CERT_FILE if this network needs them, "
            "or put uv 0.9 or newer on PATH"
        ) from error
    if hashlib.sha256(data).hexdigest() != wheel.sha256:
        raise SystemExit(f"lab: {wheel.filename} is not the file that uv.lock names (its sha256 differs)")
    programs = folder / "bin"
    programs.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for name in archive.namelist():
            if re.fullmatch(r"uv-[^/]+\.data/scripts/uvx?", name):
                target = programs / name.rsplit("/", 1)[1]
                target.write_bytes(archive.read(name))
                target.chmod(0o755)


def main(lock: Path, folder: Path) -> None:
    """Makes `folder` whole or leaves it alone: it is filled beside and renamed."""
    version, wheels = locked_wheels(lock)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".uv-") as scratch:
        fresh = Path(scratch) / "uv"
        if not with_pip(version, wheels, fresh):
            shutil.rmtree(fresh, ignore_errors=True)
            by_hand(choose(wheels), fresh)
        shutil.rmtree(folder, ignore_errors=True)
        fresh.rename(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
