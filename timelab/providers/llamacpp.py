"""`llamacpp:path/to/file.gguf`: runs a GGUF file of the repository with llama.cpp, in a child process.

Facts that shape this file, seen on xllamacpp 2026.10: an engine can end Python with a signal, so it is a child; it
opens a port on this machine, so that has a random key; an equal request gets another answer while its prompt is cached
(other batch shapes round otherwise), so `exact` switches the cache and flash attention off and keeps the threads.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import signal
import sys
import threading
import time
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from timelab.canonical import sha256_bytes, sha256_file
from timelab.errors import MissingExtra, ModelAbsent, ProviderError, ProviderUnavailable, RunError
from timelab.names import Digest, path_fault
from timelab.process import Helper, base_env
from timelab.providers.base import ModelInfo, Progress, Request, Response, TokenLogprob
from timelab.providers.gguf import quantization, read_header
from timelab.providers.options import NEUTRAL, given, read_options, shortened

INSTALL = "python -m pip install 'timelab[llamacpp]'"
DEFAULT_CTX = 4096
"""Tokens of context where the spec names none, or what the model was made for, if that is less: the whole of a large
model's context can need more memory than its weights."""

_WHOLE = ("messages", "stream", "stream_options", "verbose", "response_format")
_REPORTED = (
    "seed", "temperature", "top_k", "top_p", "min_p", "typical_p", "repeat_last_n", "repeat_penalty",
    "presence_penalty", "frequency_penalty", "dry_multiplier", "xtc_probability", "mirostat", "stop", "n_predict",
    "samplers", "chat_format",
)  # fmt: skip


@dataclass(frozen=True)
class _File:
    """Is a model file as it was found: who says the same of it has the same bytes."""

    path: Path
    stamp: tuple[int, int, int, int]
    info: ModelInfo
    max_ctx: int


@dataclass(frozen=True)
class _Load:
    """Is how an engine was started; another answer to any of these needs another engine."""

    path: Path
    stamp: tuple[int, int, int, int]
    n_ctx: int
    exact: bool


@dataclass
class _Answer:
    """Is what came of an answer so far."""

    pieces: list[str] = field(default_factory=list)
    logprobs: list[TokenLogprob] = field(default_factory=list)
    finish: str = ""
    usage: Mapping[str, int] = field(default_factory=dict)
    verbose: Mapping[str, Any] = field(default_factory=dict)


class LlamaCppProvider:
    """Runs GGUF files that lie in a folder; the engine stays loaded until another model is asked for.

    Args:
        root: the repository's work tree. Models are files in it or links from it, and belong to no commit: what pins
            one is its digest.
        threads: how many compute; None: half of the processors that this process may use, at least one.
    """

    name = "llamacpp"
    dropped_params: frozenset[str] = frozenset()

    def __init__(self, root: Path, *, threads: int | None = None) -> None:
        self._root = root
        self._threads = threads or max(1, len(os.sched_getaffinity(0)) // 2 if _HAS_AFFINITY else _half())
        self._files: dict[Path, _File] = {}
        # One engine with one slot: batches of several requests would round otherwise (facts of the engines).
        self._turn = threading.Lock()
        self._engine: tuple[_Load, Helper, Mapping[str, str]] | None = None
        self._finalizer: weakref.finalize[..., Any] | None = None

    def health(self) -> str | None:
        """Returns None if the extra is installed."""
        if _is_installed():
            return None
        return f"llamacpp: the engine is not installed; {INSTALL}"

    def models(self) -> tuple[ModelInfo, ...]:
        """Returns the GGUF files below the root; each is read whole for its digest, the first time."""
        found = []
        for folder, folders, names in os.walk(self._root):
            folders[:] = sorted(each for each in folders if not each.startswith(".") and each != "node_modules")
            paths = (Path(folder, name).relative_to(self._root) for name in sorted(names) if name.endswith(".gguf"))
            found += [path.as_posix() for path in paths]
        infos = []
        for path in found:
            try:
                infos.append(self._file(f"{self.name}:{path}").info)
            except ProviderError:
                continue
        return tuple(infos)

    def describe(self, model: str) -> ModelInfo:
        """Returns what the file says, and its digest.

        Raises:
            MissingExtra: the engine is not installed (64).
            ModelAbsent: there is no such file.
        """
        _check_installed()
        return self._file(model).info

    def complete(self, request: Request, *, progress: Progress | None = None) -> Response:
        """Runs the model, one request at a time; whatever ends the wait ends the child."""
        _check_installed()
        options = read_options(request, self.name)
        file = self._file(request.model)
        deadline_s = time.monotonic() + request.timeout_s
        n_ctx = options.num_ctx or min(file.max_ctx, DEFAULT_CTX)
        body = {
            **NEUTRAL,
            "messages": [{"role": role, "content": text} for role, text in request.messages],
            **given({name: getattr(options, name) for name in ("temperature", "top_p", "top_k", "seed", "max_tokens")}),
            "stop": list(options.stop),
            "repeat_last_n": 64,
            "cache_prompt": not request.exact,
            **_asked_for(request),
        }
        load = _Load(file.path, file.stamp, n_ctx, request.exact)
        if not self._turn.acquire(timeout=request.timeout_s):
            raise ProviderUnavailable("llamacpp: the engine was busy all the time", hint="raise timeout_s")
        try:
            answer, ready = self._answer(file, load, body, (deadline_s, progress))
        finally:
            self._turn.release()
        if answer.finish not in ("stop", "length"):
            raise ProviderError("llamacpp: the engine did not say that the answer is complete")
        return self._response(request, body, answer, {"n_ctx": n_ctx, **ready})

    def _answer(
        self, file: _File, load: _Load, body: Mapping[str, Any], until: tuple[float, Progress | None]
    ) -> tuple[_Answer, Mapping[str, str]]:
        deadline_s, progress = until
        answer = _Answer()
        try:
            helper, ready = self._loaded(file, load, deadline_s)
            for chunk in _chunks(helper, body, deadline_s):
                _add(answer, chunk, progress)
        except BaseException:
            # What is left of this answer must not become the beginning of the next.
            self.close()
            raise
        return answer, ready

    def close(self) -> None:
        """Ends the engine, if there is one."""
        self._engine = None
        if self._finalizer is not None:
            self._finalizer()
            self._finalizer = None

    def _file(self, model: str) -> _File:
        named = model.partition(":")[2]
        fault = path_fault(named)
        path = self._root / named
        if fault is not None or not path.is_file():
            what = f"llamacpp: {ascii(named)[1:-1][:120]}: {fault or 'there is no such file'}"
            raise ModelAbsent(what, hint="model: llamacpp:models/NAME.gguf, a path from the repository's root")
        path = path.resolve()
        known = self._files.get(path)
        if known is None or known.stamp != _stamp(path):
            stamp, header = _stamp(path), read_header(path)
            if header.get("split.count", 0) > 1:
                what = f"llamacpp: {path.name} is one of {header['split.count']} parts"
                raise ProviderError(what, hint="join them: llama-gguf-split --merge FIRST-PART OUT.gguf")
            known = self._files[path] = self._described(path, stamp, header)
        info = known.info
        return _File(
            known.path,
            known.stamp,
            ModelInfo(model, info.hash, info.deterministic, info.details, info.exact_on_request),
            known.max_ctx,
        )

    def _described(self, path: Path, stamp: tuple[int, int, int, int], header: dict[str, Any]) -> _File:
        architecture, template = header.get("general.architecture"), header.get("tokenizer.chat_template")
        context = header.get(f"{architecture}.context_length")
        digest = sha256_file(path)
        if _stamp(path) != stamp:
            raise ProviderUnavailable(f"llamacpp: {path.name} changes while it is read")
        details = {
            "engine": "llama.cpp (xllamacpp)",
            "engine_version": importlib.metadata.version("xllamacpp") if _is_installed() else None,
            "architecture": architecture,
            "quantization": quantization(header),
            "context_length": context,
            "template_sha256": sha256_bytes(template.encode()) if isinstance(template, str) else None,
            "source_sha256": digest,
            "threads": self._threads,
        }
        info = ModelInfo(
            name="",
            hash=Digest(f"sha256:{digest}"),
            deterministic=False,
            details={name: str(value) for name, value in given(details).items()},
            exact_on_request=True,
        )
        return _File(path, stamp, info, context if isinstance(context, int) and context > 0 else DEFAULT_CTX)

    def _loaded(self, file: _File, wanted: _Load, deadline_s: float) -> tuple[Helper, Mapping[str, str]]:
        if self._engine is not None and self._engine[0] == wanted and self._engine[1].ended() is None:
            return self._engine[1:]
        self.close()
        # -P: no module of the working directory is taken for one of ours.
        argv = [sys.executable, "-P", "-m", "timelab.providers.llamacpp_engine"]
        try:
            helper = Helper(argv, cwd=None, env=base_env({"PYTHONPATH": os.pathsep.join(_import_path())}))
        except RunError as error:
            raise ProviderError(f"llamacpp: {error.message}") from error
        self._finalizer = weakref.finalize(self, helper.close)
        load = {
            "path": str(file.path),
            "n_ctx": wanted.n_ctx,
            "threads": self._threads,
            "exact": wanted.exact,
        }
        helper.send(json.dumps(load).encode(), deadline_s)
        said = _heard(helper, deadline_s)
        if "ready" not in said:
            what = f"llamacpp: the engine cannot load {file.path.name} with {wanted.n_ctx} tokens of context"
            raise ProviderError(what, hint="is the file whole? is there memory for it? try a smaller num_ctx")
        if _stamp(file.path) != file.stamp:
            raise ProviderUnavailable(f"llamacpp: {file.path.name} changed while it was loaded")
        ready = {
            **{name: str(value) for name, value in said["ready"].items() if name != "address"},
            "flash_attention": "off" if wanted.exact else "auto",
        }
        self._engine = (wanted, helper, ready)
        return helper, ready

    def _response(
        self, request: Request, body: Mapping[str, Any], answer: _Answer, ready: Mapping[str, Any]
    ) -> Response:
        reported = answer.verbose.get("generation_settings") or {}
        sent = {name: value for name, value in body.items() if name not in _WHOLE}
        prompt = answer.verbose.get("prompt")
        effective = {
            **sent,
            **{name: reported[name] for name in _REPORTED if name in reported},
            **({"rendered_prompt_sha256": sha256_bytes(prompt.encode())} if isinstance(prompt, str) else {}),
            **ready,
            "n_threads": self._threads,
        }
        return Response(
            text="".join(answer.pieces),
            finish=answer.finish,
            tokens_in=answer.usage.get("prompt_tokens"),
            tokens_out=answer.usage.get("completion_tokens"),
            effective=effective,
            logprobs=shortened(answer.logprobs, request.logprobs),
        )


_HAS_AFFINITY = hasattr(os, "sched_getaffinity")


def _half() -> int:
    return (os.cpu_count() or 2) // 2


def _is_installed() -> bool:
    return importlib.util.find_spec("xllamacpp") is not None


def _check_installed() -> None:
    if not _is_installed():
        raise MissingExtra("the part 'llamacpp' is not installed", hint=INSTALL)


def _import_path() -> list[str]:
    """Returns where the child finds this package and the engine: where this process found them."""
    return [entry for entry in sys.path if entry and Path(entry).is_dir()]


def _stamp(path: Path) -> tuple[int, int, int, int]:
    try:
        found = path.stat()
    except OSError as error:
        raise ProviderError(f"llamacpp: {path.name}: {error.strerror or 'cannot be read'}") from error
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _asked_for(request: Request) -> dict[str, Any]:
    body: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}, "verbose": True}
    if request.response_schema is not None:
        schema = {"name": "answer", "schema": dict(request.response_schema)}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    if request.logprobs is not None:
        # With 0 alternatives the engine leaves the tokens' own probabilities out too.
        body |= {"logprobs": True, "top_logprobs": max(1, request.logprobs)}
    return body


def _chunks(helper: Helper, body: Mapping[str, Any], deadline_s: float) -> Iterator[Mapping[str, Any]]:
    helper.send(json.dumps(body).encode(), deadline_s)
    while "end" not in (said := _heard(helper, deadline_s)):
        if "chunk" not in said:
            raise ProviderError(f"llamacpp: {_line(said.get('failed'))}")
        yield said["chunk"]


def _heard(helper: Helper, deadline_s: float) -> dict[str, Any]:
    """Returns what the child says next; raises `ProviderUnavailable` when it is silent too long, or gone."""
    try:
        line = helper.receive(deadline_s)
    except TimeoutError as error:
        raise ProviderUnavailable("llamacpp: no complete answer in time", hint="raise timeout_s") from error
    if line is None:
        code = helper.ended(1.0)
        how = "closed its output" if code is None else f"exit code {code}" if code >= 0 else _signal(-code)
        last = _line(helper.said.strip().rpartition("\n")[2])
        raise ProviderUnavailable(f"llamacpp: the engine ended in the middle ({how})" + (f": {last}" if last else ""))
    found: dict[str, Any] = json.loads(line)
    return found


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _add(answer: _Answer, chunk: Mapping[str, Any], progress: Progress | None) -> None:
    """Adds a piece as the engine's OpenAI-shaped dicts have it."""
    if "error" in chunk:
        error = chunk["error"]
        kind = ProviderUnavailable if int(error.get("code") or 500) >= 500 else ProviderError
        raise kind(f"llamacpp: {_line(error.get('message'))}")
    answer.usage = chunk.get("usage") or answer.usage
    answer.verbose = chunk.get("__verbose") or answer.verbose
    for choice in chunk.get("choices") or ():
        piece = (choice.get("delta") or {}).get("content")
        for each in (choice.get("logprobs") or {}).get("content") or ():
            top = tuple((one["token"], one["logprob"]) for one in each.get("top_logprobs") or ())
            answer.logprobs.append(TokenLogprob(each["token"], each["logprob"], top))
        answer.finish = choice.get("finish_reason") or answer.finish
        if piece:
            answer.pieces.append(piece)
            if progress is not None:
                progress(piece)


def _line(text: object) -> str:
    words = "".join(each if each.isprintable() else " " for each in str(text or "the engine failed"))
    return " ".join(words.split())[:300].rstrip(". ")
