"""`builtin:extractive@1`: no weights, no chance, no invention: it answers with sentences of the text it is given.

It is for trying timelab, for tests, and for a first summary where no model is at hand. It ranks sentences by the words
they share with the whole text (H. P. Luhn, "The Automatic Creation of Literature Abstracts", 1958), prefers early ones,
and leaves out those that repeat what is chosen already (maximal marginal relevance, Carbonell and Goldstein, 1998).

What it understands, in the first line of the last user message (the rest is the text; without such a line, all of it):
`summarise in N sentences` (3 if no number), `title`, `keywords` or `N keywords`, `one line`. With a `response_schema`
it fills an object by the names and types of its properties. Tokens are words. Temperature and seed change nothing.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from timelab.canonical import sha256_bytes
from timelab.errors import ModelAbsent
from timelab.names import Digest
from timelab.providers.base import ModelInfo, Progress, Request, Response

MODEL = "builtin:extractive@1"
_NUMBERS = {
    word: number
    for number, word in enumerate(["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"], 1)
}
_COUNT = r"(\d{1,3}|" + "|".join(_NUMBERS) + r")"
_SUMMARY = re.compile(rf"(?i)\bsummari[sz]e\b|\bsummary\b|\b{_COUNT}\s+sentences?\b")
_SENTENCES = re.compile(rf"(?i)\b{_COUNT}\s+sentences?\b")
_KEYWORDS = re.compile(rf"(?i)\b(?:{_COUNT}\s+)?key\s?words?\b")
_TITLE = re.compile(r"(?i)\b(?:title|headline|one[ -]line(?:r)?)\b")
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_ENDS = re.compile(r"(?<=[.!?…。！？])[\"'”’)\]]*\s+|(?<=[。！？])|\n\s*\n|\n(?=\s*(?:[-*•]|\d+[.)])\s)")
_ABBREVIATION = re.compile(r"(?:\b[A-Z]|\b(?:e\.g|i\.e|etc|vs|Dr|Mr|Mrs|Ms|Prof|St|No|Fig|al|cf))\.$")
_COMMON_WORDS = """
a about after all also an and any are as at be because been before being between both but by can could did do does each
even every few for from had has have he her his how i if in into is it its just many may more most much must no not now
of off on one only or other our out over she should so some such than that the their them then there these they this
those through to too under up us very was we were what when where which while who will with would you your der die das
und ist nicht ein eine zu den von mit auf für im es sie le la les et est un une des en du que
"""
_COMMON = frozenset(_COMMON_WORDS.split())
_SIMILAR = 0.7
_MAX_DEPTH = 8
_LABEL = "extractive summariser without weights, version 1"


class BuiltinProvider:
    """Answers with the text's own words; equal requests give equal bytes, everywhere."""

    name = "builtin"
    dropped_params: frozenset[str] = frozenset()

    def health(self) -> str | None:
        """Returns None: it is always here."""
        return None

    def models(self) -> tuple[ModelInfo, ...]:
        """Returns the one model."""
        return (self.describe(MODEL),)

    def describe(self, model: str) -> ModelInfo:
        """Returns what the model is; its hash is of its name and version, for it has no weights."""
        _check(model)
        return ModelInfo(
            name=MODEL,
            hash=Digest("sha256:" + sha256_bytes(_LABEL.encode())),
            deterministic=True,
            details={"engine": "timelab builtin", "weights": "none: it copies sentences of its input"},
        )

    def complete(self, request: Request, *, progress: Progress | None = None) -> Response:
        """Answers from the last user message; never fails on a text, however odd."""
        _check(request.model)
        asked = next((text for role, text in reversed(request.messages) if role == "user"), "")
        if request.response_schema is not None:
            text = json.dumps(_fill(request.response_schema, asked), ensure_ascii=False, sort_keys=True)
            limited, finish = text, "stop"
        else:
            limited, finish = _limit(_answer(asked), request.params)
        words = sum(len(_WORD.findall(text)) for _, text in request.messages)
        if progress is not None:
            progress(limited)
        return Response(text=limited, finish=finish, tokens_in=words, tokens_out=len(_WORD.findall(limited)))


def _check(model: str) -> None:
    if model != MODEL:
        raise ModelAbsent(f"there is no model {model}", hint=f"the built-in one is {MODEL}")


def _answer(asked: str) -> str:
    instruction, text = _split_instruction(asked)
    if found := _KEYWORDS.search(instruction):
        return ", ".join(keywords(text, _count(found[1], 5)))
    if _TITLE.search(instruction):
        return title(text)
    found = _SENTENCES.search(instruction)
    return " ".join(summarise(text, _count(found[1] if found else None, 3)))


def _split_instruction(asked: str) -> tuple[str, str]:
    """Splits off the first line, or first sentence, when it says what to do."""
    first, _, rest = asked.strip().partition("\n")
    for head, tail in ((first, rest), _first_sentence(first, rest)):
        if tail.strip() and (_KEYWORDS.search(head) or _TITLE.search(head) or _SUMMARY.search(head)):
            return head, tail
    return "", asked


def _first_sentence(first: str, rest: str) -> tuple[str, str]:
    head, mark, tail = re.split(r"([.:!?])\s+", first, maxsplit=1) if re.search(r"[.:!?]\s", first) else (first, "", "")
    return head + mark, f"{tail}\n{rest}"


def _count(word: str | None, default: int) -> int:
    if word is None:
        return default
    return max(1, _NUMBERS.get(word.lower(), 0) or int(word))


def sentences(text: str) -> list[str]:
    """Returns the sentences of a text in order, each with its own words and single spaces."""
    found: list[str] = []
    for piece in _ENDS.split(text):
        sentence = " ".join(piece.split())
        if not _WORD.search(sentence):
            continue
        if found and _ABBREVIATION.search(found[-1]):
            found[-1] += " " + sentence
        else:
            found.append(sentence)
    return found


def _words(text: str) -> list[str]:
    return [word for word in (found.lower() for found in _WORD.findall(text)) if word not in _COMMON]


def summarise(text: str, count: int) -> list[str]:
    """Returns at most `count` sentences of the text, in their order: those that say most of it, without repetition."""
    every = sentences(text)
    weight = Counter(_words(text))
    bags = [set(_words(sentence)) for sentence in every]
    scores = [_score(bag, at, len(every), weight) for at, bag in enumerate(bags)]
    chosen: list[int] = []
    # Ties go to the earlier sentence, so that the order never depends on a hash seed.
    for at in sorted(range(len(every)), key=lambda at: (-scores[at], at)):
        if len(chosen) < count and all(_overlap(bags[at], bags[other]) < _SIMILAR for other in chosen):
            chosen.append(at)
    return [every[at] for at in sorted(chosen)]


def _score(bag: set[str], at: int, total: int, weight: Counter[str]) -> float:
    if not bag:
        return 0.0
    # Rounded: sums of floats over a set would differ with its order in the last bit.
    shared = sum(weight[word] for word in sorted(bag)) / (len(bag) + 4)
    return round(shared * (1.25 - 0.5 * at / total), 9)


def _overlap(one: set[str], other: set[str]) -> float:
    return len(one & other) / len(one | other) if one | other else 1.0


def keywords(text: str, count: int) -> list[str]:
    """Returns the words that stand most often, not counting the commonest of the language; ties by first place."""
    words = [word for word in _words(text) if len(word) > 2 and not word.isdigit()]
    first = {word: at for at, word in reversed(list(enumerate(words)))}
    ranked = sorted(Counter(words).items(), key=lambda pair: (-pair[1], first[pair[0]]))
    return [word for word, _ in ranked[:count]]


def title(text: str) -> str:
    """Returns the most telling sentence, cut to twelve words."""
    best = summarise(text, 1)
    words = best[0].split() if best else []
    return " ".join(words[:12]).rstrip(".,;:") + (" …" if len(words) > 12 else "")


def _limit(text: str, params: Mapping[str, Any]) -> tuple[str, str]:
    for stop in params.get("stop") or ():
        at = text.find(stop)
        text = text[:at] if at >= 0 else text
    most = params.get("max_tokens")
    found = list(_WORD.finditer(text))
    if most is not None and len(found) > most:
        return text[: found[most - 1].end()], "length"
    return text, "stop"


def _resolve(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    """Follows `$ref` inside the schema, and takes the first alternative that is not null."""
    for _ in range(_MAX_DEPTH):
        reference = schema.get("$ref")
        others = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf")
        following: Any = None
        if isinstance(reference, str) and reference.startswith("#"):
            following = root
            for part in reference.removeprefix("#").split("/")[1:]:
                key = part.replace("~1", "/").replace("~0", "~")
                following = following.get(key) if isinstance(following, Mapping) else None
        elif isinstance(others, Sequence):
            kinds = [one for one in others if isinstance(one, Mapping)]
            following = next((one for one in kinds if one.get("type") != "null"), None)
        if not isinstance(following, Mapping):
            break
        schema = following
    return schema


def _fill(schema: Mapping[str, Any], asked: str, name: str = "", depth: int = 0, root: Any = None) -> Any:
    """Returns a value that the schema asks for, out of the text: by the property's name first, else by its type."""
    root = schema if root is None else root
    schema = _resolve(schema, root)
    _, text = _split_instruction(asked)
    if "const" in schema:
        return schema["const"]
    if isinstance(schema.get("enum"), Sequence) and schema["enum"]:
        said = text.lower()
        return max(schema["enum"], key=lambda choice: said.count(str(choice).lower()))
    kind = schema.get("type")
    kind = next((one for one in kind if one != "null"), None) if isinstance(kind, list) else kind
    if (kind == "object" or "properties" in schema) and depth < _MAX_DEPTH:
        properties = schema.get("properties", {})
        return {
            key: _fill(part, asked, key, depth + 1, root)
            for key, part in properties.items()
            if isinstance(part, Mapping)
        }
    if kind == "array" and depth < _MAX_DEPTH:
        return _fill_array(schema, text, name)
    if kind in ("integer", "number"):
        return _fill_number(text, name, kind)
    if kind == "boolean":
        return "?" in text
    return _fill_text(schema, text, name)


def _fill_array(schema: Mapping[str, Any], text: str, name: str) -> list[Any]:
    items = schema.get("items", {})
    most = min(int(schema.get("maxItems", 5)), 100)
    if isinstance(items, Mapping) and items.get("type") in ("integer", "number"):
        numbers = [float(found) for found in re.findall(r"-?\d+(?:\.\d+)?", text)[:most]]
        return [int(number) for number in numbers] if items["type"] == "integer" else numbers
    if isinstance(items, Mapping) and items.get("type", "string") == "string":
        return keywords(text, most) if re.search(r"(?i)key|tag|topic|word", name) else summarise(text, most)
    return []


def _fill_number(text: str, name: str, kind: str) -> int | float:
    if re.search(r"(?i)words?|tokens?|length", name):
        return len(_WORD.findall(text))
    if re.search(r"(?i)sentences?|count|number", name):
        return len(sentences(text))
    found = re.search(r"-?\d{1,15}(?:\.\d{1,15})?", text)
    value = float(found[0]) if found else 0.0
    return int(value) if kind == "integer" else value


def _fill_text(schema: Mapping[str, Any], text: str, name: str) -> str:
    if re.search(r"(?i)title|headline|subject|name", name):
        answer = title(text)
    elif re.search(r"(?i)key|tag|topic", name):
        answer = ", ".join(keywords(text, 5))
    else:
        answer = " ".join(summarise(text, 2))
    most = schema.get("maxLength")
    return answer[:most] if isinstance(most, int) else answer
