"""Real engines for tests: an Ollama server built from its public Go module, and tiny models of our own.

The server is built once per version, flags and Go, and kept in `~/.cache/timelab-tests`; `python -m tests.engines` does
that beforehand. It takes some minutes of two cores. Ollama's module lacks three headers (Go leaves `vendor/` folders
out of modules): they come from the source distribution of xllamacpp that uv.lock names, checked against its hash, for
it carries the llama.cpp that wants them. So there is nothing to install but Go and a C++ compiler.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import io
import os
import platform
import re
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.tinymodels import Tiny

ROOT = Path(__file__).parents[1]
VERSION = "0.17.4"
MODULE = "github.com/ollama/ollama"
HEADERS = re.compile(r"[^/]+/thirdparty/llama\.cpp/vendor/((?:miniaudio|nlohmann|stb)/[^/]+\.h(?:pp)?)")
NEEDS = "needs Go 1.21 or newer and a C++ compiler"
BUILD_TIMEOUT_S = 3600.0
READY_TIMEOUT_S = 30.0

# As they are before a test gets an empty home.
ENVIRON = dict(os.environ)
CACHE = Path(ENVIRON.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "timelab-tests"


# --- the build ---


def _flags() -> str:
    """Returns what makes the engine as fast as the ones that people have; -march=native fails to link on some CPUs."""
    with contextlib.suppress(OSError):
        if platform.machine() == "x86_64" and "avx2" in Path("/proc/cpuinfo").read_text():
            return "-O3 -march=x86-64-v3"
    return "-O3"


def _xllamacpp() -> dict[str, str]:
    """Returns version, url and hash of the source distribution that uv.lock names."""
    for package in tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))["package"]:
        if package["name"] == "xllamacpp":
            return {"version": package["version"], "url": package["sdist"]["url"], "hash": package["sdist"]["hash"]}
    raise AssertionError("uv.lock names no xllamacpp")


def _download(url: str) -> bytes:
    """Returns a file of the package index: as the lock says where it is, else as the user's own index links it."""
    spec = importlib.util.spec_from_file_location("bring_uv", ROOT / ".ci/bring_uv.py")
    assert spec is not None and spec.loader is not None
    bring = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bring)
    index = bring.index_url()
    if index:
        page, name = index.rstrip("/") + "/xllamacpp/", url.rsplit("/", 1)[1]
        for link in re.findall(r"""href\s*=\s*["']([^"']+)""", bring.fetch(page).decode("utf-8", "replace")):
            target = urllib.parse.urljoin(page, link.split("#", 1)[0])
            if urllib.parse.unquote(target.split("?", 1)[0]).endswith("/" + name):
                url = target
    data: bytes = bring.fetch(url)
    return data


def _headers() -> Path:
    """Returns a folder with the headers that Ollama's module lacks."""
    source = _xllamacpp()
    folder = CACHE / f"headers-{source['version']}"
    if folder.is_dir():
        return folder
    data = _download(source["url"])
    assert f"sha256:{hashlib.sha256(data).hexdigest()}" == source["hash"], "xllamacpp's source is not the locked one"
    with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
        fresh = Path(scratch, "headers")
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            for member in archive:
                found = HEADERS.fullmatch(member.name)
                content = archive.extractfile(member) if found else None
                if found and content is not None:
                    target = fresh / found[1]
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(content.read())
        fresh.rename(folder)
    return folder


def _go(*args: str, **extra: str) -> str:
    done = subprocess.run(
        ["go", *args], env={**ENVIRON, **extra}, capture_output=True, text=True, timeout=BUILD_TIMEOUT_S, check=False
    )
    assert done.returncode == 0, f"go {args[0]} failed:\n{done.stderr[-4000:]}"
    return done.stdout.strip()


def _has_tools() -> bool:
    path = ENVIRON.get("PATH")
    tools = ("go", ENVIRON.get("CC", "cc"), ENVIRON.get("CXX", "c++"))
    if not all(shutil.which(tool, path=path) for tool in tools):
        return False
    # From 1.21 on, Go brings the newer Go that a module asks for.
    found = re.search(r"go1\.(\d+)", _go("version"))
    return found is not None and int(found[1]) >= 21


def built_path() -> Path:
    """Returns where the server lies once it is built; the name says what went into it."""
    words = f"{VERSION} {_flags()} {_xllamacpp()['version']} {platform.machine()} {platform.system()}"
    return CACHE / f"ollama-{VERSION}-{hashlib.sha256(words.encode()).hexdigest()[:12]}" / "ollama"


def build_ollama(say: Callable[[str], None]) -> Path | None:
    """Builds the server if it is not there yet; None where Go or a compiler is missing."""
    target = built_path()
    if target.is_file():
        return target
    if not _has_tools():
        return None
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if target.is_file():
            return target
        say(f"building Ollama {VERSION} for the tests (once; some minutes)")
        with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
            include = _headers()
            _go(
                "install",
                "-trimpath",
                "-ldflags",
                f"-s -w -X {MODULE}/version.Version={VERSION}",
                f"{MODULE}@v{VERSION}",
                CGO_ENABLED="1",
                CGO_CPPFLAGS=f"-I{include}",
                CGO_CFLAGS=_flags(),
                CGO_CXXFLAGS=_flags(),
                GOBIN=scratch,
            )
            target.parent.mkdir(parents=True, exist_ok=True)
            Path(scratch, "ollama").rename(target)
    return target


# --- the server ---


@dataclass
class OllamaServer:
    """Is a server of our own on loopback; its store may be shared with others."""

    program: Path
    home: Path
    store: Path
    port: int = 0
    child: subprocess.Popen[bytes] | None = None
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return (self.home / "log.txt").read_text(errors="replace")

    def start(self) -> OllamaServer:
        self.home.mkdir(parents=True, exist_ok=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", self.port))
            self.port = probe.getsockname()[1]
        env = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(self.home),
            "OLLAMA_HOST": self.host,
            "OLLAMA_MODELS": str(self.store),
            "OLLAMA_NO_CLOUD": "1",
            "OLLAMA_NOHISTORY": "1",
            **self.extra,
        }
        with (self.home / "log.txt").open("ab") as log:
            # A group of its own: what it starts for each model is ended with it.
            self.child = subprocess.Popen(
                [self.program, "serve"], env=env, stdout=log, stderr=log, stdin=subprocess.DEVNULL, process_group=0
            )
        until(self._answers, READY_TIMEOUT_S, f"Ollama did not start:\n{self.log[-2000:]}")
        return self

    def _answers(self) -> bool:
        assert self.child is not None and self.child.poll() is None, self.log[-2000:]
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1.0):
            return True
        return False

    def create(self, name: str, path: Path) -> None:
        """Makes a model of a GGUF file."""
        import ollama

        with ollama.Client(host=f"http://{self.host}", trust_env=False) as client:
            # The compatible interface has no word for threads, and as many as cores crawl on a busy machine.
            client.create(model=name, files={path.name: client.create_blob(path)}, parameters={"num_thread": 1})

    def runners(self) -> list[int]:
        """Returns the processes that run models, by the server's group."""
        assert self.child is not None
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError, ValueError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(fields[2]) == self.child.pid and int(entry.name) != self.child.pid and fields[0] != "Z":
                    found.append(int(entry.name))
        return found

    def stop(self) -> None:
        if self.child is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.child.pid, signal.SIGKILL)
            self.child.wait()
            self.child = None


def until(is_so: Callable[[], bool], timeout_s: float, otherwise: str) -> None:
    """Waits until something is so; fails with `otherwise` when that takes too long."""
    deadline_s = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline_s, otherwise
        time.sleep(0.01)


def cpu_ticks(pid: int) -> int:
    """Returns how much a process has computed."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def is_idle(pid: int, for_s: float = 0.5) -> bool:
    """Says whether a process computes nothing, or is gone."""
    try:
        before = cpu_ticks(pid)
        time.sleep(for_s)
        return cpu_ticks(pid) - before <= 1
    except OSError:
        return True


# --- fixtures ---


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks tests as slow that would first have to build the server."""
    if not built_path().is_file():
        for item in items:
            if "ollama_program" in getattr(item, "fixturenames", ()):
                item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Returns the file of a tiny model, written when it is first asked for: reply, json, unicode, stutter, …"""
    from tests.tinymodels import write_model

    folder = tmp_path_factory.mktemp("models")

    def path_of(name: str) -> Path:
        path = folder / f"{name}.gguf"
        return path if path.is_file() else write_model(path, _tiny(name))

    return path_of


def _tiny(name: str) -> Tiny:
    from tests.tinymodels import MID, NEAR, Tiny

    return {
        "reply": Tiny("reply"),
        "json": Tiny("reply", reply='{"answer": "forty-two", "score": 7}'),
        "unicode": Tiny("reply", reply="Grüße — 猫が好き 🐈 и ещё …"),
        "stutter": Tiny("stutter"),
        "random": Tiny(),
        "endless": Tiny(ctx=131_072),
        "mid": MID,
        "near": NEAR,
        "embed": Tiny("embed"),
    }[name]


@pytest.fixture(scope="session")
def ollama_program(request: pytest.FixtureRequest) -> Path:
    """Returns the server's program, built if need be."""
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def say(text: str) -> None:
        with capture.global_and_fixture_disabled() if capture else contextlib.nullcontext():
            print(f"\n{text}", file=sys.stderr, flush=True)

    program = build_ollama(say)
    if program is None:
        pytest.skip(NEEDS)
    return program


@pytest.fixture(scope="session")
def ollama_server(
    ollama_program: Path, tmp_path_factory: pytest.TempPathFactory, tiny_models: Callable[[str], Path]
) -> Iterator[OllamaServer]:
    """Runs one server for all tests, with the tiny models under their names."""
    place = tmp_path_factory.mktemp("ollama")
    server = OllamaServer(ollama_program, place / "home", place / "store").start()
    try:
        for name in ("reply", "json", "unicode", "stutter", "random", "endless", "mid", "near", "embed"):
            server.create(name, tiny_models(name))
        yield server
    finally:
        server.stop()


@pytest.fixture
def own_ollama(ollama_server: OllamaServer, tmp_path: Path) -> Iterator[OllamaServer]:
    """Runs a server that a test may kill; it has the same models."""
    server = OllamaServer(ollama_server.program, tmp_path / "ollama", ollama_server.store).start()
    try:
        yield server
    finally:
        server.stop()


def main() -> None:
    """Builds the server ahead of the tests; 70 if that cannot be."""
    program = build_ollama(lambda text: print(f"lab: {text}", file=sys.stderr, flush=True))
    if program is None:
        print(f"lab: no Ollama server for the tests: {NEEDS}", file=sys.stderr)
        sys.exit(70)
    print(program)


if __name__ == "__main__":
    main()
