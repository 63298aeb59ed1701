"""Writes tiny, valid GGUF models for tests: no download and no training, only numpy and gguf.

Kinds:
    reply    always answers one text, then stops: a known answer from a real engine (40 logits apart from any other).
    stutter  says the same piece for ever: what a small model does when it is lost.
    random   seeded random weights: free-running noise in printable ASCII, for sampling, seeds and near-ties.
    embed    a small BERT-shaped encoder with random weights.

The same arguments give the same bytes: weights come from raw PCG64 words by exact arithmetic and never from a library's
"normal" distribution; numpy keeps the raw stream between versions, not the distributions.

    python -m tests.tinymodels reply hello.gguf --reply '{"answer": "forty-two", "score": 7}'
"""

from __future__ import annotations

import argparse
import math
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Put = Callable[[str, Array], None]

END_OF_TEXT, TURN_START, TURN_END = SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SEED_TEXT = (
    "the model reads the spec and writes the answer to the file and the manifest says which model wrote it when and "
    "why. "
) * 4
WORDS = re.compile(r" ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]+|\s+")
MERGES = 40


@dataclass(frozen=True)
class Tiny:
    """Is what a tiny model is made of; `kind`s other than `random` and `embed` take their sizes from their text."""

    kind: str = "random"
    reply: str = "Hello from a tiny model."
    arch: str = "llama"
    dtype: str = "F32"
    seed: int = 42
    embd: int = 64
    layers: int = 2
    heads: int = 4
    ff: int = 0
    ctx: int = 2048
    sharpness: float = 4.0


MID = Tiny(embd=512, layers=8, heads=8, ff=1536, dtype="Q8_0")
"""28 million parameters in 29 MB, with near-ties: the one that shows what batches and threads do to an answer."""

NEAR = Tiny(arch="qwen3", embd=256, layers=6, heads=4, ff=768)
"""The same for Ollama's own engine, which runs this architecture: there whole numbers round alike, floats do not."""


@dataclass(frozen=True)
class Block:
    """Is the shape of a decoder's layers."""

    layers: int
    heads: int
    head_dim: int
    ff: int
    ctx: int


class Weights:
    """Draws bit-stable pseudo-random numbers."""

    def __init__(self, seed: int) -> None:
        self._raw = np.random.PCG64(seed)

    def __call__(self, *shape: int, scale: float | None = None) -> Array:
        words = self._raw.random_raw(math.prod(shape))
        unit = (words >> np.uint64(40)).astype(np.float32) / np.float32(2**24)
        spread = np.float32(math.sqrt(3.0 / shape[-1]) if scale is None else scale)
        return ((unit * 2 - 1) * spread).astype(np.float32).reshape(shape)


def byte_alphabet() -> list[str]:
    """Returns GPT-2's printable stand-ins for the 256 bytes, in byte order."""
    kept = {*range(33, 127), *range(161, 173), *range(174, 256)}
    spare = iter(range(256, 512))
    return [chr(byte) if byte in kept else chr(next(spare)) for byte in range(256)]


ALPHABET = byte_alphabet()


def piece(text: str) -> str:
    return "".join(ALPHABET[byte] for byte in text.encode())


def learn_merges(text: str, count: int = MERGES) -> list[tuple[str, str]]:
    """Returns the first merges that byte-pair encoding learns from a text."""
    words = Counter(tuple(piece(word)) for word in WORDS.findall(text))
    merges: list[tuple[str, str]] = []
    for _ in range(count):
        pairs: Counter[tuple[str, str]] = Counter()
        for word, times in words.items():
            for pair in pairwise(word):
                pairs[pair] += times
        if not pairs:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        words = _merged(words, best)
    return merges


def _merged(words: Counter[tuple[str, ...]], best: tuple[str, str]) -> Counter[tuple[str, ...]]:
    joined: Counter[tuple[str, ...]] = Counter()
    for word, times in words.items():
        out: list[str] = []
        for symbol in word:
            if out and (out[-1], symbol) == best:
                out[-1] += symbol
            else:
                out.append(symbol)
        joined[tuple(out)] += times
    return joined


class Vocab:
    """Is a byte-level vocabulary: 256 bytes, a few merges, whole pieces that are only generated, three specials."""

    def __init__(self, merges: list[tuple[str, str]], extra: list[str]) -> None:
        self.merges = merges
        self.tokens = list(dict.fromkeys([*ALPHABET, *(a + b for a, b in merges), *extra]))
        normal, control = gguf.TokenType.NORMAL, gguf.TokenType.CONTROL
        self.types = [normal] * len(self.tokens) + [control] * len(SPECIALS)
        self.tokens += SPECIALS
        self.id = {token: at for at, token in enumerate(self.tokens)}
        self.eos = self.id[TURN_END]

    def __len__(self) -> int:
        return len(self.tokens)

    def write(self, writer: gguf.GGUFWriter) -> None:
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre("qwen2")
        writer.add_token_list(self.tokens)
        writer.add_token_types(self.types)
        writer.add_token_merges([" ".join(merge) for merge in self.merges])
        writer.add_bos_token_id(self.id[END_OF_TEXT])
        writer.add_eos_token_id(self.eos)
        writer.add_pad_token_id(self.id[END_OF_TEXT])
        writer.add_add_bos_token(False)
        writer.add_chat_template(CHAT_TEMPLATE)


def unique_chunks(text: str, taken: set[str]) -> list[str]:
    """Cuts a text into pieces that are all different, so that each names its own successor."""
    chunks: list[str] = []
    seen, current = set(taken), ""
    for word in WORDS.findall(text):
        current += word
        if piece(current) not in seen:
            chunks.append(current)
            seen.add(piece(current))
            current = ""
    if current:
        assert chunks, "the text is one byte or a known merge: make it longer"
        chunks[-1] += current
    return chunks


def reply_table(tiny: Tiny) -> tuple[Vocab, Array]:
    """Returns the vocabulary and the logits [next, current] of a model that knows one text."""
    merges = learn_merges(SEED_TEXT)
    chunks = unique_chunks(tiny.reply, {*ALPHABET, *(a + b for a, b in merges)})
    vocab = Vocab(merges, [piece(chunk) for chunk in chunks])
    ids = [vocab.id[piece(chunk)] for chunk in chunks]
    follow = np.full(len(vocab), ids[0])
    if tiny.kind == "reply":
        for here, there in zip(ids, [*ids[1:], vocab.eos], strict=True):
            follow[here] = there
    logits = np.zeros((len(vocab), len(vocab)), np.float32)
    logits[follow, np.arange(len(vocab))] = 40.0
    return vocab, logits


def write_decoder(
    writer: gguf.GGUFWriter, put: Put, arch: str, block: Block, ends: tuple[Array, Array], rnd: Weights | None
) -> None:
    """Writes a pre-norm decoder between the embedding and the head; without `rnd` every layer is the identity."""
    embd, head = ends
    wide, inner = embd.shape[1], block.heads * block.head_dim
    writer.add_context_length(block.ctx)
    writer.add_embedding_length(wide)
    writer.add_block_count(block.layers)
    writer.add_feed_forward_length(block.ff)
    writer.add_head_count(block.heads)
    writer.add_head_count_kv(block.heads)
    writer.add_key_length(block.head_dim)
    writer.add_value_length(block.head_dim)
    writer.add_rope_dimension_count(block.head_dim)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(embd.shape[0])

    def matrix(rows: int, columns: int, *, into_stream: bool = False) -> Array:
        if rnd is None:
            return np.zeros((rows, columns), np.float32)
        drawn = rnd(rows, columns)
        if into_stream:
            # The first dimension of the residual stream stays constant: it carries the bias of the output.
            drawn[0] = 0.0
        return drawn

    put("token_embd.weight", embd)
    for layer in range(block.layers):
        name = f"blk.{layer}."
        put(name + "attn_norm.weight", np.ones(wide, np.float32))
        for part in ("attn_q", "attn_k", "attn_v"):
            put(f"{name}{part}.weight", matrix(inner, wide))
        put(name + "attn_output.weight", matrix(wide, inner, into_stream=True))
        if arch == "qwen2":
            for part in ("q", "k", "v"):
                put(f"{name}attn_{part}.bias", np.zeros(inner, np.float32))
        if arch == "qwen3":
            for part in ("q", "k"):
                put(f"{name}attn_{part}_norm.weight", np.ones(block.head_dim, np.float32))
        put(name + "ffn_norm.weight", np.ones(wide, np.float32))
        put(name + "ffn_gate.weight", matrix(block.ff, wide))
        put(name + "ffn_up.weight", matrix(block.ff, wide))
        put(name + "ffn_down.weight", matrix(wide, block.ff, into_stream=True))
    put("output_norm.weight", np.ones(wide, np.float32))
    put("output.weight", head)


def write_table(writer: gguf.GGUFWriter, put: Put, tiny: Tiny) -> None:
    """Writes a table of logits as weights: one-hot embedding, identity layers, the table as output matrix."""
    vocab, logits = reply_table(tiny)
    vocab.write(writer)
    size = len(vocab)
    wide = -(-size // 32) * 32
    embd = np.zeros((size, wide), np.float32)
    embd[np.arange(size), np.arange(size)] = 32.0
    head = np.zeros((size, wide), np.float32)
    # RMS norm turns a one-hot row into sqrt(wide).
    head[:, :size] = logits / np.float32(math.sqrt(wide))
    write_decoder(writer, put, tiny.arch, Block(1, 1, 32, 32, tiny.ctx), (embd, head), None)


def write_random(writer: gguf.GGUFWriter, put: Put, tiny: Tiny) -> None:
    vocab = Vocab(learn_merges(SEED_TEXT), [])
    vocab.write(writer)
    rnd = Weights(tiny.seed)
    embd = rnd(len(vocab), tiny.embd, scale=1.0)
    embd[:, 0] = 1.0
    head = rnd(len(vocab), tiny.embd, scale=tiny.sharpness / math.sqrt(tiny.embd))
    printable = {ALPHABET[byte] for byte in (10, *range(32, 127))}
    said = [
        set(token) <= printable and kind == gguf.TokenType.NORMAL
        for token, kind in zip(vocab.tokens, vocab.types, strict=True)
    ]
    head[:, 0] = np.where(said, 0.0, -60.0)
    block = Block(tiny.layers, tiny.heads, tiny.embd // tiny.heads, tiny.ff or 2 * tiny.embd, tiny.ctx)
    write_decoder(writer, put, tiny.arch, block, (embd, head), rnd)


def write_embed(writer: gguf.GGUFWriter, put: Put, tiny: Tiny) -> None:
    """Writes a BERT encoder over single characters; "▁" marks the start of a word in GGUF."""
    rnd, letters = Weights(tiny.seed), "abcdefghijklmnopqrstuvwxyz0123456789"
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    types = [gguf.TokenType.CONTROL, gguf.TokenType.UNKNOWN, *[gguf.TokenType.CONTROL] * 3]
    tokens += ["▁" + letter for letter in letters + "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"] + list(letters)
    types += [gguf.TokenType.NORMAL] * (len(tokens) - len(types))
    wide, ff = tiny.embd, tiny.ff or 2 * tiny.embd
    writer.add_context_length(tiny.ctx)
    writer.add_embedding_length(wide)
    writer.add_block_count(tiny.layers)
    writer.add_feed_forward_length(ff)
    writer.add_head_count(tiny.heads)
    writer.add_layer_norm_eps(1e-12)
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.MEAN)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("bert")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_type_count(2)
    for add, at in (
        (writer.add_pad_token_id, 0),
        (writer.add_unk_token_id, 1),
        (writer.add_bos_token_id, 2),
        (writer.add_sep_token_id, 3),
        (writer.add_eos_token_id, 3),
        (writer.add_mask_token_id, 4),
    ):
        add(at)

    def norm(name: str) -> None:
        put(name + ".weight", np.ones(wide, np.float32))
        put(name + ".bias", np.zeros(wide, np.float32))

    def linear(name: str, rows: int, columns: int) -> None:
        put(name + ".weight", rnd(rows, columns))
        put(name + ".bias", np.zeros(rows, np.float32))

    put("token_embd.weight", rnd(len(tokens), wide, scale=1.0))
    put("token_types.weight", np.zeros((2, wide), np.float32))
    put("position_embd.weight", rnd(tiny.ctx, wide, scale=0.1))
    norm("token_embd_norm")
    for layer in range(tiny.layers):
        name = f"blk.{layer}."
        for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
            linear(name + part, wide, wide)
        norm(name + "attn_output_norm")
        linear(name + "ffn_up", ff, wide)
        linear(name + "ffn_down", wide, ff)
        norm(name + "layer_output_norm")


def write_model(path: Path, tiny: Tiny) -> Path:
    """Writes the model and returns its path."""
    arch = "bert" if tiny.kind == "embed" else tiny.arch
    writer = gguf.GGUFWriter(None, arch)
    writer.add_name(f"tiny-{tiny.kind}-{arch}")
    writer.add_description("A test model; it knows nothing.")
    kinds = {"F32": "ALL_F32", "F16": "MOSTLY_F16", "Q8_0": "MOSTLY_Q8_0", "Q4_0": "MOSTLY_Q4_0"}
    writer.add_file_type(gguf.LlamaFileType[kinds[tiny.dtype]])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)

    def put(name: str, values: Array) -> None:
        kind: Any = gguf.GGMLQuantizationType[tiny.dtype]
        if tiny.dtype == "F32" or values.ndim < 2 or name.startswith(("position_embd", "token_types")):
            writer.add_tensor(name, np.ascontiguousarray(values, np.float32))
        elif tiny.dtype == "F16":
            writer.add_tensor(name, values.astype(np.float16))
        else:
            writer.add_tensor(name, gguf.quants.quantize(np.ascontiguousarray(values), kind), raw_dtype=kind)

    writes = {"embed": write_embed, "random": write_random, "reply": write_table, "stutter": write_table}
    writes[tiny.kind](writer, put, tiny)
    path.parent.mkdir(parents=True, exist_ok=True)
    writer.write_header_to_file(path)
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=["random", "reply", "stutter", "embed"])
    parser.add_argument("out", type=Path)
    for name, value in vars(Tiny()).items():
        if name != "kind":
            parser.add_argument(f"--{name}", type=type(value), default=value)
    given = vars(parser.parse_args())
    write_model(given.pop("out"), Tiny(**given))


if __name__ == "__main__":
    main()
