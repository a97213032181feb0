"""A seeded engine without a model, for rehearsals, tests and capacity planning; it never stands in for a result.

Invariants: equal requests with equal seeds get equal answers; an answer to a request with a schema is valid under it;
an answer without one is a sentence that states the values of the last JSON object in the prompt's last message.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
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
from toolace_ray.records.json import DECODER, canonical_json, digest
from toolace_ray.schemas.draw import instance
from toolace_ray.schemas.leaf import WORDS

CHARS_PER_TOKEN = 4
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
        """Does nothing: there is no connection or process to end."""


def sentence(prompt: str, rng: random.Random, slip: float) -> str:
    """A sentence with every scalar of the prompt's last JSON value, but for one with probability `slip`.

    A prompt without JSON is answered by a question about its last line, after the error that it tells if any, or by a refusal.
    """
    stated = _last_json(prompt)
    values = _leaves(stated)
    if stated and not values:
        return "Nothing was found, there is none."
    if not values:
        about = prompt.strip().splitlines()[-1].partition(":")[2].strip() or "it"
        error = re.search(r"^Error: (.+)$", prompt, re.MULTILINE)
        question = f"{error[1][:200]} " if error else ""
        question += f"Could you tell me the {about[:80]}?"
        return rng.choice((question, "I'm sorry, I can't do that with what I have."))
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
        phrase = name.replace("_", " ")
        return [phrase if value else f"no {phrase}"]
    return [] if value is None else [str(value)]
