"""The one subprocess call: argument lists, explicit environment, bounded time, bounded output, whole group ended."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from timelab.errors import RunError

_CHUNK_BYTES = 1 << 16
_TICK_S = 0.05
_LINGER_S = 1.0
"""How long a dead child's pipes may be held open by what it left behind, before that is ended too."""

_KEPT = frozenset(
    {
        "PATH",
        "HOME",
        "USER",
        "LOGNAME",
        "SHELL",
        "TMPDIR",
        "TEMP",
        "TMP",
        "LANG",
        "TZ",
        "TERM",
        "NO_COLOR",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "NO_PROXY",
        "ALL_PROXY",
        "http_proxy",
        "https_proxy",
        "no_proxy",
        "all_proxy",
        "LD_LIBRARY_PATH",
        "DYLD_LIBRARY_PATH",
        "LOCALE_ARCHIVE",
        "NIX_PATH",
        "NIX_PROFILES",
        "NIX_SSL_CERT_FILE",
        "NIX_REMOTE",
        "SYSTEMROOT",
    }
)
# Of git's own variables only those that say how to reach a remote and where the *user's* configuration lies may pass:
# a hook's GIT_DIR, GIT_INDEX_FILE, GIT_AUTHOR_* and the like would make us act on another repository or in another's
# name (style G2). The list is pre-commit's `no_git_env` with the configuration files added.
_GIT_KEPT = frozenset(
    {
        "GIT_EXEC_PATH",
        "GIT_SSH",
        "GIT_SSH_COMMAND",
        "GIT_SSH_VARIANT",
        "GIT_SSL_CAINFO",
        "GIT_SSL_CAPATH",
        "GIT_SSL_CERT",
        "GIT_SSL_KEY",
        "GIT_SSL_NO_VERIFY",
        "GIT_HTTP_PROXY_AUTHMETHOD",
        "GIT_PROXY_COMMAND",
        "GIT_PROXY_SSL_CAINFO",
        "GIT_ASKPASS",
        "GIT_ALLOW_PROTOCOL",
        "GIT_PROTOCOL_FROM_USER",
        "GIT_CONFIG_GLOBAL",
        "GIT_CONFIG_SYSTEM",
        "GIT_CONFIG_NOSYSTEM",
        "GIT_CONFIG_COUNT",
    }
)
_GIT_KEPT_PREFIXES = ("GIT_CONFIG_KEY_", "GIT_CONFIG_VALUE_")


@dataclass(frozen=True)
class Completed:
    """Is a child that ended. A negative `code` is the signal that ended it; `truncated` says that output was cut."""

    code: int
    stdout: bytes
    stderr: bytes
    timed_out: bool
    truncated: bool = False


def base_env(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Returns the variables that our own helpers may see: the user's by allow-list, then `extra`.

    Never a `GIT_*` that names a repository, an index or a person.
    """
    env = {
        name: value
        for name, value in os.environ.items()
        if name in _KEPT or name in _GIT_KEPT or name.startswith(("XDG_", *_GIT_KEPT_PREFIXES))
    }
    env["LANG"] = "C.UTF-8"
    env.setdefault("PATH", os.defpath)
    env.update(extra or {})
    return env


def run(
    argv: Sequence[str | Path],
    *,
    cwd: Path | None,
    env: Mapping[str, str],
    input: bytes | None = None,
    timeout_s: float = 60.0,
    max_bytes: int = 64 << 20,
) -> Completed:
    """Runs a program in a session of its own, waits for it, and returns what it wrote.

    Args:
        argv: program and arguments; no shell reads them.
        cwd: where it runs.
        env: its whole environment.
        input: what it reads on standard input; None is /dev/null.
        timeout_s: after this the whole process group is killed and `timed_out` is true.
        max_bytes: of each stream; what comes beyond is read and dropped, so that the child cannot block.

    Raises:
        RunError: the program cannot be started.
    """
    child = _start(argv, cwd=cwd, env=env, with_input=input is not None)
    pump = _Pump(child, input or b"", max_bytes)
    deadline = time.monotonic() + timeout_s
    try:
        timed_out = not pump.drain(deadline)
        if timed_out:
            end_group(child.pid)
        code = child.wait()
    except BaseException:
        end_group(child.pid)
        child.wait()
        raise
    finally:
        pump.close()
    return Completed(code, bytes(pump.out), bytes(pump.err), timed_out, pump.truncated)


def _start(
    argv: Sequence[str | Path], *, cwd: Path | None, env: Mapping[str, str], with_input: bool
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            [os.fspath(word) for word in argv],
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.PIPE if with_input else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise _cannot_start(argv, error) from error


def _cannot_start(argv: Sequence[str | Path], error: Exception) -> RunError:
    reason = getattr(error, "strerror", None) or "bad argument"
    return RunError(f"cannot start {Path(argv[0]).name!a}: {reason}")


class _Pump:
    """Moves bytes to and from a child until both of its streams have ended."""

    def __init__(self, child: subprocess.Popen[bytes], data: bytes, max_bytes: int) -> None:
        self.out, self.err, self.truncated = bytearray(), bytearray(), False
        self._child, self._data, self._max_bytes = child, memoryview(data), max_bytes
        self._selector = selectors.DefaultSelector()
        self._open = 2
        for stream, sink in ((child.stdout, self.out), (child.stderr, self.err)):
            self._selector.register(cast("IO[bytes]", stream), selectors.EVENT_READ, sink)
        if child.stdin is not None:
            os.set_blocking(child.stdin.fileno(), False)
            self._selector.register(child.stdin, selectors.EVENT_WRITE)

    def drain(self, deadline: float) -> bool:
        """Returns whether the child ended before `deadline`."""
        ended_at: float | None = None
        while self._open:
            now = time.monotonic()
            if now >= deadline:
                return False
            ready = self._selector.select(min(_TICK_S, deadline - now))
            for key, _ in ready:
                self._move(key)
            if not ready and ended_at is None and self._child.poll() is not None:
                ended_at = now
            if ended_at is not None and now - ended_at > _LINGER_S:
                end_group(self._child.pid)
                return True
        try:
            self._child.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            return False
        return True

    def _move(self, key: selectors.SelectorKey) -> None:
        if key.data is None:
            self._feed()
            return
        piece = os.read(key.fd, _CHUNK_BYTES)
        if not piece:
            self._selector.unregister(key.fileobj)
            self._open -= 1
            return
        room = self._max_bytes - len(key.data)
        self.truncated = self.truncated or len(piece) > room
        key.data.extend(piece[: max(0, room)])

    def _feed(self) -> None:
        stdin = cast("IO[bytes]", self._child.stdin)
        try:
            self._data = self._data[os.write(stdin.fileno(), self._data[:_CHUNK_BYTES]) :]
        except BrokenPipeError:
            self._data = self._data[:0]
        if not self._data:
            self._selector.unregister(stdin)
            stdin.close()

    def close(self) -> None:
        """Closes our ends of the pipes."""
        self._selector.close()
        for stream in (self._child.stdin, self._child.stdout, self._child.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()


def end_group(pid: int) -> None:
    """Kills the process group that `pid` leads; nothing happens when it is gone."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


class Helper:
    """Is a child that we talk with, line by line, until it is closed; its standard error is kept by its end only.

    Raises:
        RunError: the program cannot be started.
    """

    _KEPT_BYTES = 4096

    def __init__(self, argv: Sequence[str | Path], *, cwd: Path | None, env: Mapping[str, str]) -> None:
        self._child = _start(argv, cwd=cwd, env=env, with_input=True)
        self.pid = self._child.pid
        self._lines = bytearray()
        self._said = bytearray()
        self._selector = selectors.DefaultSelector()
        self._stdin = cast("IO[bytes]", self._child.stdin)
        self._stdout = cast("IO[bytes]", self._child.stdout)
        os.set_blocking(self._stdin.fileno(), False)
        self._selector.register(self._stdout, selectors.EVENT_READ)
        self._selector.register(cast("IO[bytes]", self._child.stderr), selectors.EVENT_READ)

    @property
    def said(self) -> str:
        """Returns the end of what it wrote to standard error."""
        return self._said.decode("utf-8", "replace")

    def ended(self, wait_s: float = 0.0) -> int | None:
        """Returns how it ended (negative: by that signal), or None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._child.wait(wait_s)
        return None

    def send(self, line: bytes, deadline_s: float) -> bool:
        """Writes a line; returns whether the child took it all before `deadline_s` on the monotonic clock."""
        rest = memoryview(line + b"\n")
        with selectors.DefaultSelector() as selector:
            selector.register(self._stdin, selectors.EVENT_WRITE)
            while rest and time.monotonic() < deadline_s:
                if selector.select(_TICK_S):
                    try:
                        rest = rest[os.write(self._stdin.fileno(), rest[:_CHUNK_BYTES]) :]
                    except OSError:
                        break
        return not rest

    def receive(self, deadline_s: float) -> bytes | None:
        """Returns the next line without its end, None when the child closed its output.

        Raises:
            TimeoutError: nothing came before `deadline_s` on the monotonic clock.
        """
        while True:
            at = self._lines.find(b"\n")
            if at >= 0:
                line = bytes(self._lines[:at])
                del self._lines[: at + 1]
                return line
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                raise TimeoutError
            for key, _ in self._selector.select(left_s):
                piece = os.read(key.fd, _CHUNK_BYTES)
                if key.fileobj is not self._stdout:
                    self._said = (self._said + piece)[-self._KEPT_BYTES :]
                    if not piece:
                        self._selector.unregister(key.fileobj)
                elif piece:
                    self._lines += piece
                else:
                    return None

    def close(self) -> None:
        """Kills the child and whatever it started; may be called twice."""
        if self._child.poll() is None:
            end_group(self.pid)
            self._child.wait()
        self._selector.close()
        for stream in (self._child.stdin, self._child.stdout, self._child.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()


def spawn_detached(argv: Sequence[str | Path], *, cwd: Path, env: Mapping[str, str]) -> None:
    """Starts a program that outlives us: a session of its own, and all three descriptors on /dev/null.

    An inherited descriptor would make whoever reads `git commit`'s output wait for it (facts/peers.md, section 4).
    """
    try:
        child = subprocess.Popen(
            [os.fspath(word) for word in argv],
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise _cannot_start(argv, error) from error
    # Somebody has to collect the child's exit status if it ends before we do.
    threading.Thread(target=child.wait, daemon=True).start()
