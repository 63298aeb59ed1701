"""Where servers stand, and what their failures mean."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator

import httpx
import pytest

from timelab.errors import ProviderError, ProviderUnavailable, UsageError
from timelab.providers import http
from timelab.providers.http import Place, parse_place


@pytest.mark.parametrize(
    ("text", "url", "is_loopback"),
    [
        ("", "http://127.0.0.1:11434", True),
        (":9", "http://127.0.0.1:9", True),
        ("0.0.0.0", "http://127.0.0.1:11434", True),
        ("localhost:9", "http://localhost:9", True),
        ("[::1]:9", "http://[::1]:9", True),
        ("http://[::]:9/", "http://[::1]:9", True),
        ("127.8.8.8", "http://127.8.8.8:11434", True),
        ("http://example.org/v1/", "http://example.org/v1", False),
        ("https://127.0.0.1.example.org", "https://127.0.0.1.example.org", False),
        ("10.0.0.1", "http://10.0.0.1:11434", False),
        ("localhost.example.org", "http://localhost.example.org:11434", False),
    ],
)
def test_place_is_read_as_ollama_reads_it(text: str, url: str, is_loopback: bool) -> None:
    place = parse_place(text, port=11434)
    assert (place.url, place.is_loopback) == (url, is_loopback)


@pytest.mark.parametrize(
    "text", ["http://", "ftp://a", "http://a b", "http://a:x", "http://[::1", "file:///etc/passwd"]
)
def test_what_is_no_place_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not the address of a server"):
        parse_place(text)


def test_password_in_an_address_is_refused_unseen() -> None:
    with pytest.raises(UsageError) as caught:
        parse_place("https://me:hunter2@example.org/v1")
    assert "hunter2" not in caught.value.message


def test_network_needs_a_permission() -> None:
    """A181, R2."""
    http.check_net(parse_place("127.0.0.1"), "x", allowed=False)
    http.check_net(parse_place("example.org"), "x", allowed=True)
    with pytest.raises(ProviderError, match=r"x would send the prompt to example\.org"):
        http.check_net(parse_place("example.org"), "x", allowed=False)


@pytest.mark.parametrize(("status", "kind"), [(500, True), (503, True), (429, True), (408, True), (400, False)])
def test_retry_may_help_where_the_server_is_at_fault(status: int, kind: bool) -> None:
    assert isinstance(http.status_error("x", status, "no"), ProviderUnavailable) is kind


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"error": {"message": "no such thing."}}', "no such thing"),
        (b'{"error": "plain"}', "plain"),
        (b"<html>\n\x1b[31m no\x07</html>", "<html> [31m no </html>"),
        (b"\xff\xfe", "��"),
        ("x" * 1000, "x" * 300),
        (b"your key sk-secret is wrong", "your key … is wrong"),
    ],
)
def test_words_of_a_server_are_one_clean_line(body: bytes | str, said: str) -> None:
    assert http.said_by(body, secret="sk-secret") == said


def test_counts_are_counts_or_nothing() -> None:
    assert [http.count_of(value) for value in (3, 0, -1, True, "3", None)] == [3, 0, None, None, None, None]


def test_text_is_text_or_an_error() -> None:
    assert (http.text_of(None), http.text_of("a")) == ("", "a")
    with pytest.raises(ProviderError), http.expected_shape("x"):
        http.text_of(3)


@pytest.mark.parametrize(
    ("text", "verify", "trust_env"),
    [
        ("http://127.0.0.1:1", False, False),
        ("https://127.0.0.1:1", True, False),
        ("http://example.org", True, True),
        ("https://example.org", True, True),
    ],
)
def test_certificates_are_checked_wherever_there_may_be_tls(text: str, verify: bool, trust_env: bool) -> None:
    found = http.client_options(parse_place(text))
    assert found == {"verify": verify, "trust_env": trust_env, "follow_redirects": False}


# --- against a socket that behaves badly ---

Serve = Callable[[list[bytes], float], Place]
HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Answers one request with some bytes, then is silent for a while, then hangs up."""
    listener = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def go(pieces: list[bytes], silence_s: float) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            for piece in pieces:
                connection.sendall(piece)
            over.wait(silence_s)

    def start(pieces: list[bytes], silence_s: float) -> Place:
        threading.Thread(target=go, args=(pieces, silence_s), daemon=True).start()
        return parse_place(f"127.0.0.1:{listener.getsockname()[1]}")

    yield start
    over.set()
    listener.close()


def read(place: Place, after_s: float, silence_s: float = 60.0) -> list[bytes]:
    with (
        http.failures("x", place, start="start it", timeout_s=after_s),
        http.make_client(place, silence_s) as client,
        http.posted(client, "/", {}, after_s) as response,
    ):
        return list(http.lines_of(response))


def test_lines_are_whole_however_they_arrive(serve: Serve) -> None:
    place = serve([HEAD, b"3\r\nab\n\r\n", b"2\r\nc\n\r\n", b"1\r\nd\r\n", b"0\r\n\r\n"], 0.0)
    assert read(place, 30.0) == [b"ab", b"c", b"d"]


def test_silent_server_is_left_at_the_deadline(serve: Serve) -> None:
    place, start_s = serve([HEAD, b"3\r\nab\n\r\n"], 60.0), time.monotonic()
    with pytest.raises(ProviderUnavailable, match="no complete answer"):
        read(place, 0.5)
    assert time.monotonic() - start_s < 20


def test_silence_before_the_first_byte_counts_too(serve: Serve) -> None:
    with pytest.raises(ProviderUnavailable, match="no complete answer"):
        read(serve([], 60.0), 60.0, silence_s=0.3)


def test_server_that_hangs_up_in_the_middle_is_unavailable(serve: Serve) -> None:
    with pytest.raises(ProviderUnavailable, match="broke off in the middle"):
        read(serve([HEAD, b"5\r\nab"], 0.0), 30.0)


def test_line_without_end_is_refused(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "MAX_LINE_BYTES", 100)
    with pytest.raises(ProviderError, match="a line of more than"):
        read(serve([HEAD, b"c8\r\n" + b"x" * 200 + b"\r\n"], 5.0), 30.0)


def test_redirect_is_not_followed(serve: Serve) -> None:
    """A server on this machine must not be able to send prompts to another."""
    place = serve([b"HTTP/1.1 307 Temporary Redirect\r\nLocation: http://192.0.2.1/\r\nContent-Length: 0\r\n\r\n"], 0.0)
    with http.make_client(place, 5.0) as client, http.posted(client, "/", {}, 5.0) as response:
        assert response.status_code == 307


def test_proxy_of_the_environment_is_not_used_for_this_machine(monkeypatch: pytest.MonkeyPatch, serve: Serve) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://192.0.2.1:3128")
    monkeypatch.setenv("ALL_PROXY", "http://192.0.2.1:3128")
    assert read(serve([HEAD, b"2\r\na\n\r\n", b"0\r\n\r\n"], 0.0), 10.0) == [b"a"]


def test_untrusted_certificate_and_refusal_are_told_apart() -> None:
    place = parse_place("127.0.0.1:1")
    request = httpx.Request("GET", place.url)
    for text, said in (("[SSL: CERTIFICATE_VERIFY_FAILED]", "not trusted"), ("Connection refused", "refused")):
        with pytest.raises(ProviderUnavailable, match=said), http.failures("x", place, start="s", timeout_s=1.0):
            raise httpx.ConnectError(text, request=request)
