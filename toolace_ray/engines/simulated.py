"""A seeded engine without a model, for rehearsals, tests and capacity planning; it never stands in for a result.

Invariants: equal requests with equal seeds get equal answers; an answer to a request with a schema is valid under it;
an answer without one is a sentence that states the values of the last JSON object in the prompt's last message.
"""

from __future__ import annotations

import asyncio
import datetime
import json
import random
import re
from collections.abc import Sequence
from typing import Any

from toolace_ray.engines.protocol import (
    Capabilities,
    EngineTimeout,
    GenerateRequest,
    Generation,
    Sample,
    Score,
    ScoreRequest,
    check_spans,
)
from toolace_ray.instances import FORMATS, WORDS
from toolace_ray.limits import DECODER
from toolace_ray.schema import canonical_json, digest

CHARS_PER_TOKEN = 4
DESCRIPTIVE = 8  # a string of this least length is a description: it begins with a word of what it is about
TOPIC = 300  # first characters of a prompt's last message: what it is about


class SimulatedEngine:
    """Answers after `latency_ms` plus its tokens at `tokens_per_second`, `slots` requests at once.

    Args:
        context: stated in the capabilities; nothing is cut at it.
        latency_ms: time to the first token, in milliseconds.
        tokens_per_second: rate after it; 0 is at once.
        slots: requests served at once.
        first_choice: probability that an enum answers with its first value.
        slip: probability that a sentence leaves one value out.
    """

    def __init__(
        self,
        *,
        context: int = 8192,
        latency_ms: float = 20.0,
        tokens_per_second: float = 0.0,
        slots: int = 256,
        first_choice: float = 0.95,
        slip: float = 0.05,
    ) -> None:
        self.capabilities = Capabilities(model="simulated", context=context, score=True)
        self._latency = latency_ms / 1000
        self._rate = tokens_per_second
        self._slots = asyncio.Semaphore(slots)
        self._first_choice = first_choice
        self._slip = slip

    async def generate(self, request: GenerateRequest) -> Generation:
        """See Engine.generate."""
        prompt = "\n".join(message["content"] for message in request.messages)
        seed = digest(prompt, str(request.seed), canonical_json(request.json_schema), length=32)
        samples = []
        for index in range(request.n):
            rng = random.Random(f"{seed}{index}")
            if request.json_schema is not None:
                words = re.findall(r"[a-z]{4,}", request.messages[-1]["content"][:TOPIC].lower())
                text = json.dumps(instance(request.json_schema, rng, self._first_choice, words), ensure_ascii=False)
            else:
                text = sentence(request.messages[-1]["content"], rng, self._slip)
            tokens = max(1, len(text) // CHARS_PER_TOKEN)
            samples.append(Sample(text, "stop", tokens))
        longest = max(sample.tokens for sample in samples)
        await self._serve(longest, request.timeout)
        return Generation(tuple(samples), prompt_tokens=max(1, len(prompt) // CHARS_PER_TOKEN))

    async def score(self, request: ScoreRequest) -> Score:
        """See Engine.score: values drawn from the token ids."""
        check_spans(request)
        await self._serve(0, request.timeout)
        ids = request.token_ids
        return Score(
            tuple(
                tuple(-random.Random(ids[i] * 31 + ids[i - 1]).expovariate(1) for i in range(*span))
                for span in request.spans
            )
        )

    async def _serve(self, tokens: int, timeout: float) -> None:
        try:
            async with asyncio.timeout(timeout), self._slots:
                await asyncio.sleep(self._latency + (tokens / self._rate if self._rate else 0.0))
        except TimeoutError as error:
            raise EngineTimeout(f"no answer within {timeout} s") from error

    async def close(self) -> None:
        """Nothing to release."""


def sentence(prompt: str, rng: random.Random, slip: float) -> str:
    """A sentence with every scalar of the prompt's last JSON value, but for one with probability `slip`.

    A prompt without JSON is answered by a question about its last line or by a refusal.
    """
    told = _last_json(prompt)
    values = _leaves(told)
    if told and not values:
        return "Nothing was found, there is none."
    if not values:
        about = prompt.strip().splitlines()[-1].partition(":")[2].strip() or "it"
        return rng.choice((f"Could you tell me the {about[:80]}?", "I'm sorry, I can't do that with what I have."))
    if rng.random() < slip:
        values.pop(rng.randrange(len(values)))
    opening = rng.choice(("Please help me", "I need this", "Could you do this for me", "Can you see to this"))
    return f"{opening} about the {rng.choice(WORDS)} {rng.choice(WORDS)}: {', '.join(values)}."


def _last_json(text: str) -> Any:
    for match in reversed(list(re.finditer(r"^[^{\[\n]*(?=[{\[])", text, re.MULTILINE))):
        try:
            return DECODER.raw_decode(text, match.end())[0]
        except (ValueError, RecursionError):
            continue
    return None


def _leaves(value: Any, name: str = "it") -> list[str]:
    if isinstance(value, dict):
        return [leaf for key, item in value.items() for leaf in _leaves(item, key)]
    if isinstance(value, list):
        return [leaf for item in value for leaf in _leaves(item, name)]
    if isinstance(value, bool):
        said = name.replace("_", " ")
        return [said if value else f"no {said}"]
    return [] if value is None else [str(value)]


def instance(
    schema: Any, rng: random.Random, first_choice: float = 0.5, words: Sequence[str] = (), depth: int = 0
) -> Any:
    """A random value that is valid under a schema of the common keywords (no $ref or conditionals).

    A pattern is answered by an identifier such as amber_birch_kdl, which suits the patterns that our own schemas use; its
    first word is one of `words` where there are any.
    """
    if not isinstance(schema, dict) or depth > 16:
        return None
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0] if rng.random() < first_choice else rng.choice(schema["enum"])
    for key in ("anyOf", "oneOf"):
        if schema.get(key):
            return instance(rng.choice(schema[key]), rng, first_choice, words, depth + 1)
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kind = next((item for item in kind if item != "null"), "null")
    if kind == "object":
        required = set(schema.get("required", ()))
        return {
            name: instance(below, rng, first_choice, words, depth + 1)
            for name, below in (schema.get("properties") or {}).items()
            if name in required or rng.random() < 0.5
        }
    if kind == "array":
        low = int(schema.get("minItems", 1))
        count = rng.randint(low, max(low, min(int(schema.get("maxItems", low + 2)), low + 2)))
        return [instance(schema.get("items", {}), rng, first_choice, words, depth + 1) for _ in range(count)]
    if kind in ("integer", "number"):
        low = schema.get("minimum", schema.get("exclusiveMinimum", 0) + (1 if "exclusiveMinimum" in schema else 0))
        high = schema.get("maximum", low + 100)
        if kind == "integer":
            return rng.randint(int(-(-low // 1)), max(int(-(-low // 1)), int(high)))
        return round(min(max(rng.uniform(low, high), low), high), 1) if high - low >= 1 else low
    if kind == "boolean":
        return rng.random() < first_choice
    return None if kind == "null" else _string(schema, rng, words)


def _string(schema: dict[str, Any], rng: random.Random, words: Sequence[str]) -> str:
    match schema.get("format"):
        case "date":
            return str(datetime.date(2026, 1, 1) + datetime.timedelta(days=rng.randrange(700)))
        case "time":
            return f"{rng.randrange(24):02d}:{rng.randrange(60):02d}:00Z"
        case "date-time":
            return f"{datetime.date(2026, 1, 1) + datetime.timedelta(days=rng.randrange(700))}T{rng.randrange(24):02d}:00:00Z"
        case form if form in FORMATS:
            return FORMATS[form](rng)
    low, high = int(schema.get("minLength", 1)), int(schema.get("maxLength", 40))
    if "pattern" in schema:
        # No digits in names: what is said of them would be taken for a number that nobody gave.
        return f"{rng.choice(words or WORDS)[:16]}_{rng.choice(WORDS)}_{''.join(rng.choices('bcdfgklmnprstvz', k=3))}"
    first = rng.choice(words if words and low >= DESCRIPTIVE else WORDS)
    text = f"{first} {rng.choice(WORDS)} {rng.choice(WORDS)}"  # no digits: numbers are facts
    if len(text) > high:
        text = text[:high].strip() or "a"
    return text + "x" * max(0, low - len(text))
