"""The one abstraction between the method and whatever runs a model.

Invariants: `generate` returns exactly `n` samples or raises; token counts are the engine's own, or marked as
estimated; an engine never changes a request; every error an engine raises on purpose is an EngineError.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

ChatMessage = Mapping[str, str]  # {"role": ..., "content": ...}


@dataclass(frozen=True)
class Capabilities:
    """What an engine can do.

    `context` is in tokens (prompt and answer together); `sequences` are the samples that it computes at once, 0 where nobody
    can know.
    """

    model: str
    context: int
    score: bool = False
    constrain: bool = True
    reason: bool = False
    sequences: int = 0


@dataclass(frozen=True)
class GenerateRequest:
    """One request for `n` samples of at most `max_tokens` tokens each.

    `prompt_ids` is the prompt as the model's own tokens, which engines that can't take tokens replace by `messages`;
    `json_schema` constrains every sample to the schema; `affinity` names who asks (a dialog's id), so that its
    requests meet the same prefix cache; `timeout` is in seconds from now, over all resends.
    """

    messages: Sequence[ChatMessage]
    max_tokens: int = 256
    n: int = 1
    temperature: float = 0.7
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    json_schema: dict[str, Any] | None = None
    prompt_ids: Sequence[int] | None = None
    affinity: str = ""
    timeout: float = 600.0


@dataclass(frozen=True)
class Sample:
    """One answer. `finish` is `stop` for a finished text, `length` for one cut at max_tokens.

    `thought` is what a reasoning model thought before it answered; `tokens` counts it too.
    """

    text: str
    finish: str
    tokens: int
    thought: str = ""


def answered(text: str, thought: str, finish: str, tokens: int, stop: Sequence[str]) -> Sample:
    """A reasoning model's sample: stop strings end its answer, not its thought; one that never answered was cut."""
    before, closed, rest = text.rpartition("</think>")
    if closed:  # a server that does not take thoughts out of the text
        thought, text = f"{thought} {before.replace('<think>', '')}", rest
    ends = [at for word in stop if (at := text.lstrip().find(word)) >= 0]
    answer = text.lstrip()[: min(ends)] if ends else text.strip()
    return Sample(answer, "stop" if ends else finish if answer else "length", tokens, thought.strip())


@dataclass(frozen=True)
class Generation:
    """The answers to one request; `cached_tokens` of the prompt's tokens came from the prefix cache. `estimated` of all tokens,
    prompt and answers together, were not counted by the engine: they are told from the texts' length."""

    samples: tuple[Sample, ...]
    prompt_tokens: int
    cached_tokens: int = 0
    estimated: int = 0

    @property
    def tokens(self) -> int:
        """Generated tokens over all samples."""
        return sum(sample.tokens for sample in self.samples)


@dataclass(frozen=True)
class ScoreRequest:
    """Token ids and the half-open spans [start, end) whose log-probabilities are wanted; a span starts at 1 or later."""

    token_ids: Sequence[int]
    spans: Sequence[tuple[int, int]]
    affinity: str = ""
    timeout: float = 600.0


@dataclass(frozen=True)
class Score:
    """For each span the log-probability (nats) of each of its tokens, given all tokens before it."""

    spans: tuple[tuple[float, ...], ...]


class EngineError(Exception):
    """The engine could not answer."""


class Unsupported(EngineError):
    """The engine cannot do this at all (see its Capabilities); asking again is of no use."""


class BadRequest(EngineError):
    """The engine refuses this request (too long, or a schema it can't use); asking again is of no use."""


class EngineRefused(EngineError):
    """The engine refuses us altogether (a wrong key, an unknown model, no credit); no request will fare better."""


class EngineTimeout(EngineError):
    """The request's deadline passed."""


class EngineFull(EngineError):
    """The engine is at its limit and took nothing; ask another one, or later."""


class EngineDead(EngineError):
    """The engine is gone; ask another one."""


def reason(error: BaseException) -> str:
    """What an error says, in one line: its last one, or its type's name where it says nothing.

    An error that was raised in another process may come wrapped, with the error itself as its attribute `cause`.
    """
    cause = getattr(error, "cause", None) or error
    lines = str(cause).strip().splitlines()
    return lines[-1] if lines else type(cause).__name__


class Engine(Protocol):
    """What the method needs of a model."""

    @property
    def capabilities(self) -> Capabilities:
        """What this engine can do."""
        ...

    async def generate(self, request: GenerateRequest) -> Generation:
        """Sample `request.n` answers. Raises EngineError."""
        ...

    async def score(self, request: ScoreRequest) -> Score:
        """Teacher-forced log-probabilities. Raises EngineError; Unsupported where capabilities.score is False."""
        ...


def check_spans(request: ScoreRequest) -> None:
    """Raise BadRequest unless all spans lie within the token ids and leave the first token out."""
    for start, end in request.spans:
        if not 1 <= start <= end <= len(request.token_ids):
            raise BadRequest(f"span [{start}, {end}) does not fit {len(request.token_ids)} tokens; spans start at 1")
