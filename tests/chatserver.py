"""A server that speaks OpenAI's chat completions, as a process of its own: for what must cross a real socket.

`mode` is a file that a test may rewrite at any time: `echo` answers with the last message, `slow` never ends its
answer, `ill` is 503 for everything, `angry` is 500 and quotes the key. `log` gets a line for each thing that happened.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class ChatServer:
    """Is a running server."""

    url: str
    folder: Path

    def be(self, mode: str) -> None:
        (self.folder / "new").write_text(mode)
        (self.folder / "new").replace(self.folder / "mode")

    def log(self) -> list[str]:
        return (self.folder / "log").read_text().splitlines()

    def wait_for(self, line: str) -> None:
        """Waits until the log has a line that begins so."""
        for _ in range(1_000):
            if any(each.startswith(line) for each in self.log()):
                return
            time.sleep(0.02)
        raise AssertionError(f"no {line!r} in {self.log()}")


@contextmanager
def chat_server(folder: Path, mode: str = "echo") -> Iterator[ChatServer]:
    """Starts a server that serves the model `tiny`, and ends it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "mode").write_text(mode)
    (folder / "log").write_text("")
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.chatserver", str(folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        yield ChatServer(f"http://127.0.0.1:{port}/v1", folder)
    finally:
        process.kill()
        process.communicate()


def closed_port() -> str:
    """Returns an address at which nothing listens."""
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/v1"


class _Handler(BaseHTTPRequestHandler):
    folder: Path
    lock = threading.Lock()
    under_way = 0

    def log_message(self, *args: Any) -> None:
        pass

    def say(self, line: str) -> None:
        with (self.folder / "log").open("a") as stream:
            stream.write(line + "\n")

    def send(self, status: int, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def refuses(self) -> bool:
        mode = (self.folder / "mode").read_text()
        if mode == "ill":
            self.send(503, {"error": "the engine is loading"})
        return mode == "ill"

    def do_GET(self) -> None:
        self.say("list")
        if self.refuses():
            return
        if self.path.endswith(("/models", "/models/tiny")):
            self.send(200, {"data": [{"id": "tiny"}]})
        else:
            self.send(404, {"error": "no such model"})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        cls = type(self)
        with cls.lock:
            cls.under_way += 1
            self.say(f"ask {cls.under_way}")
        try:
            if not self.refuses():
                self.answer(asked, (self.folder / "mode").read_text())
        except (BrokenPipeError, ConnectionResetError):
            self.say("gone")
        finally:
            with cls.lock:
                cls.under_way -= 1

    def answer(self, asked: Any, mode: str) -> None:
        if mode == "angry":
            self.send(500, {"error": {"message": f"cannot use {self.headers['authorization']} now"}})
            return
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        text = asked["messages"][-1]["content"]
        while mode == "slow":
            self.event({"choices": [{"delta": {"content": "and "}}]})
            time.sleep(0.02)
        time.sleep(0.05 if mode == "echo slowly" else 0)
        self.event({"choices": [{"delta": {"content": text}}]})
        self.event({"choices": [{"delta": {}, "finish_reason": "stop"}]})
        self.event({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}})
        self.wfile.write(b"data: [DONE]\n\n")

    def event(self, body: Any) -> None:
        self.wfile.write(b"data: " + json.dumps(body).encode() + b"\n\n")
        self.wfile.flush()


def main() -> None:
    _Handler.folder = Path(sys.argv[1])
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
