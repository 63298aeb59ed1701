"""Is the child that runs a GGUF file: `python -m timelab.providers.llamacpp_engine`, lines of JSON in and out.

In: first what to load, then one request after the other. Out: `{"ready": …}` or `{"failed": …}`; for each request
`{"chunk": …}` as the engine gives them, then `{"end": true}`. It is a process of its own, since an engine can take
Python down with it, and since the one way to stop an engine that computes is to end it.
"""

from __future__ import annotations

import json
import os
import queue
import secrets
import sys
import threading
from typing import Any, BinaryIO


def main() -> None:
    """Loads, then answers until there is nobody to answer."""
    # The engine prints as it likes; lines of ours go where nobody else writes.
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    lines: queue.Queue[bytes] = queue.Queue()
    threading.Thread(target=_listen, args=(sys.stdin.buffer, lines), daemon=True).start()
    server = _load(json.loads(lines.get()), out)
    while server is not None:
        body = json.loads(lines.get())
        try:
            server.handle_chat_completions(body, lambda chunk: _say(out, {"chunk": chunk}))
            _say(out, {"end": True})
        except Exception as error:
            _say(out, {"failed": str(error)[:1000]})


def _listen(source: BinaryIO, lines: queue.Queue[bytes]) -> None:
    """Passes lines on; ends the process when there will be no more, even while the engine computes."""
    for line in source:
        lines.put(line)
    os._exit(0)


def _load(wanted: dict[str, Any], out: BinaryIO) -> Any:
    import xllamacpp

    try:
        params = _params(xllamacpp, wanted)
        server = xllamacpp.Server(params)
    except Exception as error:
        _say(out, {"failed": str(error)[:1000]})
        return None
    devices = [str(each.get("description") or each.get("name")).strip() for each in xllamacpp.get_device_info()]
    ready = {"cpu_features": _features(xllamacpp.get_system_info()), "device": ", ".join(devices)}
    _say(out, {"ready": {**ready, "address": server.listening_address}})
    return server


def _params(engine: Any, wanted: dict[str, Any]) -> Any:
    params = engine.CommonParams()
    params.model.path = wanted["path"]
    params.n_ctx = wanted["n_ctx"]
    params.n_parallel = 1
    params.warmup = False
    params.fit_params = False
    params.verbosity = -1
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = wanted["threads"]
    if wanted["exact"]:
        params.flash_attn_type = engine.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        params.cache_ram_mib = 0
    # It opens a port on 127.0.0.1 whether one wants it or not. We never use it, and so nobody can.
    params.api_keys = [secrets.token_hex(32)]
    params.ui = False
    params.endpoint_slots = False
    return params


def _features(said: str) -> str:
    """Returns `AVX AVX2 …` of `CPU : SSE3 = 1 | AVX = 1 | … |`."""
    parts = [part.rpartition(":")[2].partition("=") for part in said.split("|")]
    return " ".join(sorted(name.strip() for name, _, value in parts if value.strip() == "1"))


def _say(out: BinaryIO, value: dict[str, Any]) -> bool:
    """Writes a line; returns what the engine takes for "go on"."""
    out.write(json.dumps(value).encode() + b"\n")
    return False


if __name__ == "__main__":
    main()
