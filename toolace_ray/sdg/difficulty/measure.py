"""How hard a dialog is for the model that is to be tuned (paper section 2.2), and what it looks like.

`H_M(x, y) = -(1/n_y) sum_i log p_M(t_i | x, t_1..t_{i-1})`: the mean loss of M over the tokens of the assistant's turns,
teacher-forced, in nats. The paper finds that it rises with the number of candidate APIs, of used APIs, and with the
dissimilarity of the query and the APIs' descriptions; these are recorded beside it.

Invariant: a loss is a mean over trainable tokens; masked turns count nowhere.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from toolace_ray.calls import SYNTAXES, Parsed
from toolace_ray.config.tree import Config
from toolace_ray.engines.protocol import GenerateRequest, ScoreRequest
from toolace_ray.engines.roles import TaskEngines
from toolace_ray.engines.template import ChatTemplate, Template, WordTemplate, in_words
from toolace_ray.models import resolve
from toolace_ray.records.dialog import Dialog, Message, ToolCall
from toolace_ray.records.json import DECODER

MAX_CALL_TOKENS = 192
MAX_ANSWER = 1 << 16  # characters of an answer that is looked at
MAX_OPENING_TOKENS = 32  # tell whether an answer begins a call
GRAM = 3
_OPENING = re.compile(
    r"""\s*(```\w*\s*)?(<tool_call|<function|<\|python_tag|\[TOOL_CALLS|\[?\s*\{\s*"(name|function|arg)|\[\s*\w+\()"""
)


@dataclass(frozen=True)
class Complexity:
    """What the target makes of a dialog.

    Attributes:
        value: what the band is about: `loss`, or 1 minus the share of samples that solve it (pass@k).
        loss: H_M over all trainable response tokens, in nats per token; None where the target can't score.
        call_loss: the same over the tokens of calls; None where there are none.
        turns: message index -> (loss, tokens) of each assistant turn.
    """

    value: float
    loss: float | None = None
    call_loss: float | None = None
    turns: tuple[tuple[int, float, int], ...] = ()

    def record(self) -> dict[str, Any]:
        """As it is stored with a dialog; rounded to what bf16 can tell."""
        return {
            "value": round(self.value, 4),
            "loss": None if self.loss is None else round(self.loss, 4),
            "call_loss": None if self.call_loss is None else round(self.call_loss, 4),
            "turns": [[index, round(loss, 4), tokens] for index, loss, tokens in self.turns],
        }


class Evaluator(Protocol):
    """Measures dialogs for one target; `template` renders them for it."""

    template: Template

    async def measure(self, dialog: Dialog, engines: TaskEngines) -> Complexity:
        """Raises EngineError."""
        ...


class LossEvaluator:
    """H_M by teacher forcing: one request a dialog where the template is prefix-stable."""

    def __init__(self, template: Template) -> None:
        self.template = template

    async def measure(self, dialog: Dialog, engines: TaskEngines) -> Complexity:
        """See Evaluator.measure."""
        passes = self.template.passes(dialog)
        scores = await asyncio.gather(
            *(
                engines.score("target", ScoreRequest(pass_.ids, [(turn.start, turn.end) for turn in pass_.turns]))
                for pass_ in passes
            )
        )
        turns = [
            (turn.message, list(span))
            for pass_, score in zip(passes, scores, strict=True)
            for turn, span in zip(pass_.turns, score.spans, strict=True)
        ]
        return summed(dialog, turns)


def summed(dialog: Dialog, turns: Sequence[tuple[int, Sequence[float]]]) -> Complexity:
    """A dialog's complexity from the log-probabilities of its turns. Raises ValueError where no turn is trainable."""
    trainable = [(index, logprobs) for index, logprobs in turns if dialog.messages[index].train and logprobs]
    if not trainable:
        raise ValueError(f"{dialog.id}: no trainable turn")
    token_logprobs = [value for _, logprobs in trainable for value in logprobs]
    call_logprobs = [value for index, logprobs in trainable if dialog.messages[index].tool_calls for value in logprobs]
    loss = -sum(token_logprobs) / len(token_logprobs)
    return Complexity(
        value=loss,
        loss=loss,
        call_loss=-sum(call_logprobs) / len(call_logprobs) if call_logprobs else None,
        turns=tuple((index, -sum(logprobs) / len(logprobs), len(logprobs)) for index, logprobs in trainable),
    )


class PassEvaluator:
    """1 minus the share of k samples that do the hardest turn, for targets that return no log-probabilities."""

    def __init__(self, template: Template, samples: int) -> None:
        self.template, self._samples = template, samples

    async def measure(self, dialog: Dialog, engines: TaskEngines) -> Complexity:
        """See Evaluator.measure."""
        rates = await solved(dialog, self.template, engines, self._samples)
        return Complexity(value=1 - min(rates))


async def solved(dialog: Dialog, template: Template, engines: TaskEngines, samples: int = 1) -> list[float]:
    """For each trainable assistant turn the share of the target's own answers that do what the dialog does there.

    A call turn is solved by the same calls after normalisation, in any order; another one by calling nothing. One
    sample is greedy, several are drawn at temperature 1.

    Raises:
        EngineError: the target could not be asked.
    """
    turns = [i for i, message in enumerate(dialog.messages) if message.role == "assistant" and message.train]

    async def rate(index: int) -> float:
        request = GenerateRequest(
            messages=in_words(dialog.messages[:index], dialog.tools),
            prompt_ids=template.prompt(dialog, index),
            n=samples,
            max_tokens=MAX_CALL_TOKENS if dialog.messages[index].tool_calls else MAX_OPENING_TOKENS,
            temperature=0.0 if samples == 1 else 1.0,
            seed=dialog.seed,
        )
        answer = await engines.generate("target", request)
        return sum(agrees(sample.text, dialog.messages[index]) for sample in answer.samples) / samples

    return list(await asyncio.gather(*(rate(index) for index in turns)))


def agrees(text: str, message: Message) -> bool:
    """True where an answer does what the message does: the same calls, or none."""
    calls = read_calls(text)
    if calls is None or (not message.tool_calls and _OPENING.match(text)):
        return False  # what begins like a call is one, though it may be cut or broken
    return Counter(map(normal, calls)) == Counter(map(normal, message.tool_calls))


def read_calls(text: str) -> tuple[ToolCall, ...] | None:
    """The calls in an answer, whatever syntax they are in; None for a call that can't be read.

    A model that was not tuned for it often writes the right call as bare or fenced JSON: what it calls counts here, not how.
    """
    bare = re.sub(r"```\w*|</?tool_calls?>", " ", text)
    for syntax in SYNTAXES.values():
        for candidate in (text, bare):
            parsed = syntax.parse(candidate)
            if isinstance(parsed, Parsed) and parsed.calls:
                return parsed.calls
    calls = _bare_calls(bare)
    if calls is None and "<tool_call>" not in text:
        return ()
    return calls


def _bare_calls(text: str) -> tuple[ToolCall, ...] | None:
    """The calls of a text that is nothing but JSON objects with `name` and `arguments`, or lists of them; else None."""
    if len(text) > MAX_ANSWER:
        return None
    calls: list[ToolCall] = []
    at = 0
    while (at := at + len(text[at:]) - len(text[at:].lstrip(" \n\t\r,;"))) < len(text):
        try:
            value, at = DECODER.raw_decode(text, at)
            for item in value if isinstance(value, list) else [value]:
                arguments = item.get("arguments", item.get("parameters"))
                calls.append(ToolCall(name=item["name"], arguments=arguments))
        except (ValueError, RecursionError, AttributeError, KeyError):
            return None
    return tuple(calls) or None


def normal(call: ToolCall) -> str:
    """A call for comparison: case, spaces and the way a number is written make no difference."""
    return f"{call.name} {_normal_value(call.arguments)}"


def _normal_value(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {_normal_value(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_normal_value, value)) + "]"
    if isinstance(value, str):
        return repr(" ".join(value.casefold().split()))
    if isinstance(value, float) and value.is_integer():
        return repr(int(value))
    return repr(value)


def evaluator(config: Config) -> Evaluator:
    """What measures dialogs for roles.target. Raises UserError where the model can't be had."""
    (name,) = config.mix("target")
    pool = config.pools[name]
    if pool.engine == "simulated":
        return LossEvaluator(WordTemplate())
    if pool.engine == "openai":
        return PassEvaluator(WordTemplate(), config.complexity.samples)  # the server renders the words itself
    return LossEvaluator(ChatTemplate.of(resolve(pool.model)))


# Features ----------------------------------------------------------------------------------------------------------


def features(dialog: Dialog) -> dict[str, Any]:
    """What is recorded beside the loss: candidates, used APIs, calls, dissimilarity, dependency depth, turns.

    `dissimilarity` is 1 minus the cosine of the counts of character trigrams in what the user says and in the
    descriptions of the APIs that are called (of all candidates, where none is); `depth` the number of calls in the
    longest chain in which one uses the result of another; `turns` the messages of the user.
    """
    called = {call.name for message in dialog.messages for call in message.tool_calls}
    user_text = " ".join(message.content for message in dialog.messages if message.role == "user")
    api_text = " ".join(api.description for api in dialog.tools if api.name in called or not called)
    return {
        "candidates": len(dialog.tools),
        "used": len(called),
        "calls": sum(len(message.tool_calls) for message in dialog.messages),
        "dissimilarity": round(1 - _cosine(_grams(user_text), _grams(api_text)), 4),
        "depth": _depth(dialog),
        "turns": sum(message.role == "user" for message in dialog.messages),
    }


def _grams(text: str) -> Counter[str]:
    padded = f" {' '.join(text.lower().replace('_', ' ').split())} "
    return Counter(padded[i : i + GRAM] for i in range(len(padded) - GRAM + 1))


def _cosine(left: Counter[str], right: Counter[str]) -> float:
    size = math.sqrt(sum(v * v for v in left.values())) * math.sqrt(sum(v * v for v in right.values()))
    return sum(count * right[gram] for gram, count in left.items()) / size if size else 0.0


def _depth(dialog: Dialog) -> int:
    owner = {index: message.tool_call_id for index, message in enumerate(dialog.messages) if message.role == "tool"}
    sources: dict[str, set[str]] = {}
    for record in dialog.provenance:
        if record.source == "tool_output" and record.message is not None and (source := owner.get(record.message)):
            sources.setdefault(record.call_id, set()).add(source)
    depth: dict[str, int] = {}
    for message in dialog.messages:  # a source lies before what uses it
        for call in message.tool_calls:
            depth[call.id] = 1 + max((depth.get(name, 0) for name in sources.get(call.id, ())), default=0)
    return max(depth.values(), default=0)
