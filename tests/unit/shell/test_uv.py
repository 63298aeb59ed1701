"""The hash-locked shell, against a real index on loopback."""

from __future__ import annotations

import base64
import functools
import hashlib
import http.server
import os
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import uv as uv_program

from timelab.errors import ShellError
from timelab.process import base_env, run
from timelab.shell.base import Session, ShellRequest
from timelab.shell.interpreter import default_python
from timelab.shell.uv import UvShell, find_pin, starter_pin


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


def write_wheel(folder: Path, name: str, code: str, extra: dict[str, str] | None = None) -> Path:
    """Writes a wheel of one module, version 1, the least that installers take (PEP 427)."""
    info = f"{name}-1.dist-info"
    files = {
        f"{name}.py": code,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        **(extra or {}),
    }
    record = ""
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        record += f"{path},sha256={digest},{len(text)}\n"
    files[f"{info}/RECORD"] = record + f"{info}/RECORD,,\n"
    wheel = folder / f"{name}-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in files.items():
            archive.writestr(zipfile.ZipInfo(path, (2020, 1, 1, 0, 0, 0)), text)
    return wheel


class Index:
    """Is a flat index on loopback."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url

    def publish(self) -> None:
        links = [
            f'<a href="{wheel.name}#sha256={hashlib.sha256(wheel.read_bytes()).hexdigest()}">{wheel.name}</a>'
            for wheel in sorted(self.folder.glob("*.whl"))
        ]
        (self.folder / "index.html").write_text("<html><body>" + "\n".join(links) + "</body></html>")


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    folder = tmp_path / "index"
    folder.mkdir()
    handler = functools.partial(QuietHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Index(folder, f"http://127.0.0.1:{server.server_port}/")
        server.shutdown()


def make_pin(tmp_path: Path, index: Index, *packages: str, head: str = "") -> dict[str, bytes]:
    """Returns env/default of a project that needs `packages`, locked by the real uv."""
    index.publish()
    folder = tmp_path / "project"
    folder.mkdir(exist_ok=True)
    (folder / "pyproject.toml").write_text(
        f'{head}[project]\nname = "pinned"\nversion = "0"\nrequires-python = ">=3.11"\n'
        f"dependencies = {list(packages)}\n"
        f'[[tool.uv.index]]\nname = "local"\nurl = "{index.url}"\nformat = "flat"\ndefault = true\n'
    )
    argv = [uv_program.find_uv_bin(), "lock", "--quiet", "--python", str(default_python())]
    done = run(argv, cwd=folder, env=base_env({"UV_PYTHON_DOWNLOADS": "never"}))
    assert done.code == 0, done.stderr
    return {f"env/default/{name}": (folder / name).read_bytes() for name in ("pyproject.toml", "uv.lock")}


def ask(files: dict[str, bytes], cache: Path, profile: str = "default", pin: str | None = None) -> ShellRequest:
    return ShellRequest(profile=profile, read=files.get, paths=tuple(sorted(files)), cache=cache, pin=pin)


def run_in(session: Session, code: str) -> str:
    done = run([session.path[0] / "python", "-c", code], cwd=None, env={"PATH": os.defpath})
    assert done.code == 0, done.stderr
    return done.stdout.decode()


def test_the_starter_pin_is_entered_offline(tmp_path: Path) -> None:
    """D4, A3: the first commit already runs pinned."""
    files = starter_pin()
    assert sorted(files) == ["env/default/pyproject.toml", "env/default/uv.lock"]
    assert files == starter_pin()
    session = UvShell().enter(ask(files, tmp_path / "cache"))
    assert session.record.pinned
    assert session.record.kind == "uv"
    assert session.record.lock_sha256 == hashlib.sha256(files["env/default/uv.lock"]).hexdigest()
    assert session.environment.tools["python"].startswith("3.")
    assert session.environment.system.endswith("-linux")
    assert str(tmp_path) not in str(session.environment) + str(session.record)


def test_a_locked_package_is_there_and_built_once(tmp_path: Path, index: Index) -> None:
    """A3, A17: built once for each lock; the second entry finds it."""
    write_wheel(index.folder, "answer", "VALUE = 42\n")
    request = ask(make_pin(tmp_path, index, "answer"), tmp_path / "cache")
    session = UvShell().enter(request)
    assert run_in(session, "import answer; print(answer.VALUE)") == "42\n"
    (index.folder / "answer-1-py3-none-any.whl").unlink()
    (index.folder / "index.html").unlink()
    assert UvShell().enter(request) == session


def test_a_changed_hash_in_the_lock_is_refused(tmp_path: Path, index: Index) -> None:
    wheel = write_wheel(index.folder, "answer", "VALUE = 42\n")
    files = make_pin(tmp_path, index, "answer")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest().encode()
    assert digest in files["env/default/uv.lock"]
    changed = {**files, "env/default/uv.lock": files["env/default/uv.lock"].replace(digest, b"0" * 64)}
    with pytest.raises(ShellError, match="hash does not match"):
        UvShell().enter(ask(changed, tmp_path / "cache"))
    # What failed leaves nothing that a later entry could take for whole.
    with pytest.raises(ShellError, match="hash does not match"):
        UvShell().enter(ask(changed, tmp_path / "cache"))


def test_another_package_under_the_locked_name_is_refused(tmp_path: Path, index: Index) -> None:
    write_wheel(index.folder, "answer", "VALUE = 42\n")
    files = make_pin(tmp_path, index, "answer")
    write_wheel(index.folder, "answer", "VALUE = 43\n")
    with pytest.raises(ShellError, match="hash does not match"):
        UvShell().enter(ask(files, tmp_path / "cache"))


@pytest.mark.parametrize("drift", ["edit", "remove", "add", "interrupted"])
def test_an_environment_that_drifted_is_built_again(tmp_path: Path, index: Index, drift: str) -> None:
    """A3: what stands there is compared with what was built, at every entry."""
    write_wheel(index.folder, "answer", "VALUE = 42\n")
    request = ask(make_pin(tmp_path, index, "answer"), tmp_path / "cache")
    session = UvShell().enter(request)
    module = next(session.path[0].parent.glob("lib/python*/site-packages/answer.py"))
    if drift == "edit":
        module.write_text("VALUE = 99\n")
    elif drift == "remove":
        module.unlink()
    elif drift == "add":
        (module.parent / "evil.pth").write_text("import os\n")
    else:
        (session.path[0].parents[1] / "complete.json").unlink()
        module.unlink()
    again = UvShell().enter(request)
    assert again == session
    assert module.read_text() == "VALUE = 42\n"
    assert not (module.parent / "evil.pth").exists()


def test_nothing_of_a_package_runs_outside_the_sandbox(tmp_path: Path, index: Index) -> None:
    """A191: a `.pth` file runs whenever its Python starts; building and checking must not start it unheld."""
    mark = tmp_path / "ran"
    tmp_path.chmod(0o777)
    line = f"import pathlib; pathlib.Path({str(mark)!r}).touch()\n"
    write_wheel(index.folder, "answer", "VALUE = 42\n", {"answer.pth": line})
    request = ask(make_pin(tmp_path, index, "answer"), tmp_path / "cache")
    session = UvShell().enter(request)
    assert next(session.path[0].parent.glob("lib/python*/site-packages/answer.pth")).read_text() == line
    UvShell().enter(request)
    assert not mark.exists()


def test_a_source_distribution_is_not_built(tmp_path: Path, index: Index) -> None:
    files = make_pin(tmp_path, index)
    lock = (
        files["env/default/uv.lock"]
        .decode()
        .replace(
            'source = { virtual = "." }\n',
            'source = { virtual = "." }\ndependencies = [{ name = "raw" }]\n\n'
            '[[package]]\nname = "raw"\nversion = "1"\n'
            f'source = {{ registry = "{index.url}" }}\n'
            f'sdist = {{ url = "{index.url}raw-1.tar.gz", hash = "sha256:{"0" * 64}" }}\n',
        )
    )
    with pytest.raises(ShellError, match="no wheel"):
        UvShell().enter(ask({**files, "env/default/uv.lock": lock.encode()}, tmp_path / "cache"))


def test_the_fingerprint_knows_no_paths(tmp_path: Path) -> None:
    """A3: another clone at another path gives the same."""
    files = starter_pin()
    sessions = [UvShell().enter(ask(files, tmp_path / name / "cache")) for name in ("here", "there")]
    assert sessions[0].record == sessions[1].record
    assert sessions[0].environment == sessions[1].environment


def test_what_does_not_touch_the_lock_builds_nothing_new(tmp_path: Path) -> None:
    files = starter_pin()
    first = UvShell().enter(ask(files, tmp_path))
    name = "env/default/pyproject.toml"
    second = UvShell().enter(ask({**files, name: files[name] + b"\n[tool.ruff]\nline-length = 99\n"}, tmp_path))
    assert first.path == second.path


def test_the_pin_is_the_profiles_folder_then_the_root_for_default(tmp_path: Path) -> None:
    pair = ("pyproject.toml", "uv.lock")
    both = {f"{folder}{name}": b"" for folder in ("", "env/default/", "env/ml/", "pins/x/") for name in pair}
    root = dict.fromkeys(pair, b"")
    assert find_pin(ask(both, tmp_path)) == "env/default/"
    assert find_pin(ask(root, tmp_path)) == ""
    assert find_pin(ask(both, tmp_path, "ml")) == "env/ml/"
    assert find_pin(ask(root, tmp_path, "ml")) is None
    assert find_pin(ask(both, tmp_path, "ml", "pins/x")) == "pins/x/"
    assert find_pin(ask({"uv.lock": b""}, tmp_path)) is None


def test_a_pin_that_the_commit_lacks_is_an_error_not_another_shell(tmp_path: Path) -> None:
    request = ask(starter_pin(), tmp_path, pin="env/gone")
    assert UvShell().has_profile(request)
    with pytest.raises(ShellError, match="env/gone/"):
        UvShell().enter(request)


def test_a_project_that_is_not_toml_is_an_error(tmp_path: Path) -> None:
    files = {**starter_pin(), "env/default/pyproject.toml": b"= broken"}
    with pytest.raises(ShellError, match="not TOML"):
        UvShell().enter(ask(files, tmp_path))


def test_two_at_once_build_one(tmp_path: Path) -> None:
    request = ask(starter_pin(), tmp_path)
    found: list[Session] = []
    threads = [threading.Thread(target=lambda: found.append(UvShell().enter(request))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert all(session == found[0] for session in found)
    assert replace(found[0]) == found[0]
