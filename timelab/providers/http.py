"""What the providers that speak HTTP share: where a server stands, how long one waits, what its failures mean."""

from __future__ import annotations

import contextlib
import ipaddress
import re
import socket
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from timelab.errors import ProviderError, ProviderUnavailable, UsageError

if TYPE_CHECKING:
    import httpx

CONNECT_TIMEOUT_S = 5.0
HEALTH_TIMEOUT_S = 2.0
MAX_LINE_BYTES = 16 << 20
MAX_ERROR_BYTES = 64 << 10


@dataclass(frozen=True)
class Place:
    """Is where a server stands: a base URL without credentials, query and final slash."""

    url: str
    host: str

    @property
    def is_loopback(self) -> bool:
        """Says whether what is sent there stays on this machine."""
        if self.host == "localhost" or self.host.endswith(".localhost"):
            return True
        with contextlib.suppress(ValueError):
            return ipaddress.ip_address(self.host).is_loopback
        return False

    @property
    def is_secret_from_others(self) -> bool:
        """Says whether nobody on the way can read along."""
        return self.is_loopback or self.url.startswith("https:")


def parse_place(text: str, *, port: int | None = None) -> Place:
    """Returns the place that a setting names: a URL, or `host`, `host:port`, `:port` as Ollama's own programs take it.

    Args:
        text: the setting.
        port: what stands for a port where there is neither a port nor a scheme.

    Raises:
        UsageError: that is no place, or it holds a password, which belongs into the environment.
    """
    has_scheme = "://" in text
    try:
        parts = urlsplit(text if has_scheme else f"http://{text}")
        number, host = parts.port, parts.hostname or ("" if has_scheme else "127.0.0.1")
    except ValueError as error:
        raise UsageError(f"not the address of a server: {_plain(text)[:80]}") from error
    if "@" in parts.netloc:
        raise UsageError("the address of a server must not hold a password", hint="put it into the environment")
    if parts.scheme not in ("http", "https") or not re.fullmatch(r"[a-z0-9._-]+|[0-9a-f:.]+", host):
        raise UsageError(f"not the address of a server: {_plain(text)[:80]}", hint="http://127.0.0.1:11434")
    # A server that listens on every address is reached on this one.
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    number = number if number is not None or has_scheme else port
    shown = f"[{host}]" if ":" in host else host
    suffix = f":{number}" if number is not None else ""
    return Place(f"{parts.scheme}://{shown}{suffix}{parts.path.rstrip('/')}", host)


def check_net(place: Place, name: str, *, allowed: bool) -> None:
    """Refuses to leave this machine unasked (A181, style R2); raises `ProviderError`."""
    if not (allowed or place.is_loopback):
        raise ProviderError(
            f"{name} would send the prompt to {place.host}, and the spec does not allow the network",
            hint="set allow_net: true in the spec, or name a server on this machine",
        )


def make_client(place: Place, timeout_s: float, headers: Mapping[str, str] | None = None) -> httpx.Client:
    """Returns a client for one server: no redirects, and for this machine no proxy.

    Args:
        place: the server.
        timeout_s: the longest silence.
        headers: sent with each request.
    """
    import httpx

    timeout = httpx.Timeout(timeout_s, connect=min(CONNECT_TIMEOUT_S, timeout_s))
    return httpx.Client(base_url=place.url, timeout=timeout, headers=dict(headers or {}), **client_options(place))


def client_options(place: Place) -> dict[str, Any]:
    """Returns what every client is told: no redirects; and for this machine no proxy, and no certificates without TLS.

    Reading the certificates took 20 ms for each client. Where they are not read there is nothing to check with them:
    no TLS, no proxy, and no redirect that could lead to either.
    """
    is_plain = place.is_loopback and place.url.startswith("http:")
    return {"trust_env": not place.is_loopback, "verify": not is_plain, "follow_redirects": False}


@contextlib.contextmanager
def failures(name: str, place: Place, *, start: str, timeout_s: float) -> Iterator[None]:
    """Turns what httpx raises into our errors.

    Args:
        name: of the provider, for the message.
        place: its server.
        start: what starts such a server, for the hint.
        timeout_s: how long was waited.

    Raises:
        ProviderUnavailable: no connection, broken off, too slow.
        ProviderError: anything else that is wrong with the exchange.
    """
    import httpx

    try:
        yield
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        said = "no answer in time" if isinstance(error, httpx.ConnectTimeout) else _reason(error)
        raise ProviderUnavailable(f"{name}: no server answers at {place.url} ({said})", hint=start) from error
    except httpx.TimeoutException as error:
        raise ProviderUnavailable(f"{name}: no complete answer from {place.url} in {timeout_s:.3g} s") from error
    except httpx.TransportError as error:
        message = f"{name}: the server at {place.url} broke off in the middle of its answer"
        raise ProviderUnavailable(message, hint="see the server's log for why") from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ProviderError(f"{name}: {place.url}: {type(error).__name__}") from error


def _reason(error: Exception) -> str:
    text = str(error).lower()
    for known in ("connection refused", "name or service not known", "network is unreachable", "certificate"):
        if known in text:
            return {"certificate": "its certificate is not trusted"}.get(known, known)
    return "cannot connect"


def status_error(name: str, status: int, said: str) -> ProviderError:
    """Returns the error for an HTTP status; a server at fault (5xx) and too many calls (429) may mend themselves."""
    kind = ProviderUnavailable if status >= 500 or status in (408, 429) else ProviderError
    return kind(f"{name}: HTTP {status}: {said}" if said else f"{name}: HTTP {status}")


def said_by(body: bytes | str, *, secret: str | None = None) -> str:
    """Returns a server's words as one short line without control characters; a key that it repeats is cut out."""
    import json

    text = body if isinstance(body, str) else body[:MAX_ERROR_BYTES].decode("utf-8", "replace")
    with contextlib.suppress(ValueError, RecursionError):
        found = json.loads(text)
        found = found.get("error", found) if isinstance(found, dict) else found
        found = found.get("message", found) if isinstance(found, dict) else found
        text = found if isinstance(found, str) else text
    if secret:
        text = text.replace(secret, "…")
    return _plain(text)[:300].rstrip(". ")


@contextlib.contextmanager
def expected_shape(name: str) -> Iterator[None]:
    """Turns the failure to read a server's answer into `ProviderError`: it speaks another protocol than it should."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ProviderError(f"{name}: the server sent what its protocol does not know") from error


def count_of(value: object) -> int | None:
    """Returns a count of tokens, None where the server says nothing sensible."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def text_of(value: object) -> str:
    """Returns a text; absent is empty. Raises `TypeError` for anything else."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value


def _plain(text: str) -> str:
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())


class Deadline:
    """Ends a stream at a moment, even while the server is silent: it shuts the socket down from a thread beside."""

    def __init__(self, after_s: float) -> None:
        self.passed = False
        self._socket: Any = None
        self._timer = threading.Timer(max(0.001, after_s), self._end)
        self._timer.daemon = True

    def __enter__(self) -> Deadline:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def watch(self, response: httpx.Response) -> None:
        """Takes the connection of a response whose body is still to come."""
        stream = response.extensions.get("network_stream")
        self._socket = stream.get_extra_info("socket") if stream is not None else None
        if self.passed:
            self._end()

    def _end(self) -> None:
        self.passed = True
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def posted(client: httpx.Client, path: str, body: Mapping[str, Any], after_s: float) -> Iterator[httpx.Response]:
    """Posts JSON and gives the response while its body is still to come.

    Whatever ends the block closes the connection, by which the server knows that nobody waits any more.

    Raises:
        httpx.ReadTimeout: `after_s` seconds went by, however lively the answer was.
    """
    import httpx

    with Deadline(after_s) as deadline:
        try:
            with client.stream("POST", path, json=body) as response:
                deadline.watch(response)
                yield response
        except httpx.TransportError as error:
            if deadline.passed:
                raise httpx.ReadTimeout("the time is up") from error
            raise
        if deadline.passed:
            raise httpx.ReadTimeout("the time is up")


def lines_of(response: httpx.Response) -> Iterator[bytes]:
    """Yields a body's lines as they come; raises `ProviderError` for one beyond all bounds."""
    rest = b""
    for piece in response.iter_bytes():
        *whole, rest = (rest + piece).split(b"\n")
        yield from whole
        if len(rest) > MAX_LINE_BYTES:
            raise ProviderError(f"the server sent a line of more than {MAX_LINE_BYTES >> 20} MiB")
    if rest:
        yield rest
