"""The model layer: one expert per question (paper section 2.3), each a prompt with a small answer schema, decided by votes.

What the rules have decided is not asked again, and an expert sees the exchange that it judges, not the whole dialog. The prompts of
one exchange begin alike, the question comes last, so that an engine's prefix cache serves all experts of it. Two experts have prompts
of their own: consistency, which must not see what was called, and grounding, which examples of other questions confuse (a 1.5B model
found 24 of 36 such defects with a prompt of its own, 5 to 7 with the shared one).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from toolace_ray.calls import pythonic
from toolace_ray.config.tree import ExpertConfig, ExpertName, VerifyConfig
from toolace_ray.dlv.trace import trace
from toolace_ray.engines.protocol import ChatMessage, GenerateRequest
from toolace_ray.engines.roles import TaskEngines
from toolace_ray.prompts import prompt
from toolace_ray.records.api import is_error
from toolace_ray.records.describe import wish
from toolace_ray.records.dialog import Dialog, Message
from toolace_ray.records.json import load_json
from toolace_ray.records.kinds import TWINS
from toolace_ray.records.verdict import Verdict
from toolace_ray.schemas.walk import leaves, pointer
from toolace_ray.text.values import fold

NONE = "none"
MAX_RESULT = 800  # characters of a result in a prompt
MAX_PARTS, MAX_PART = 12, 120  # parts of a text that a judge chooses from, and characters of each
MAX_KNOWN = 1 << 16  # characters
MAX_VALUES = 8  # values of a dialog that the hallucination expert is asked about
_TOKENS = 80


@dataclass(frozen=True)
class Question:
    """One question of an expert about one turn. `against` are the answers that speak against the dialog.

    `quoted`: whether the judge first quotes what tells it, for answers that are no quotations themselves.
    """

    expert: ExpertName
    turn: int
    messages: Sequence[ChatMessage]
    answers: tuple[str, ...]
    against: frozenset[str]
    field: str = "verdict"
    quoted: bool = True


@dataclass(frozen=True)
class Exchange:
    """What follows one request of the user, up to the next: message indices from `start` to before `end`."""

    start: int
    end: int


def exchanges(dialog: Dialog) -> list[Exchange]:
    """A dialog's exchanges. A user who answers a question goes on with the exchange that asked it."""
    starts: list[int] = []
    messages = dialog.messages
    for index, message in enumerate(messages):
        if message.role != "user":
            continue
        before = messages[index - 1] if index else None
        asked = before is not None and before.role == "assistant" and before.content.rstrip().endswith("?")
        if not starts or not asked:
            starts.append(index)
    return [Exchange(start, end) for start, end in zip(starts, [*starts[1:], len(messages)], strict=True)]


async def judge(dialog: Dialog, config: VerifyConfig, engines: TaskEngines) -> list[Verdict]:
    """What the configured experts hold against a dialog that passed the rules; empty lets it pass.

    The first expert against it ends the asking: one reason is enough, and the rest would cost tokens.

    Raises:
        EngineError: a judge could not be asked.
    """
    for name, settings in config.experts.items():
        for question in _QUESTIONS[name](dialog):
            if verdict := await _ask(question, settings, dialog, engines):
                return [verdict]
    return []


async def _ask(question: Question, settings: ExpertConfig, dialog: Dialog, engines: TaskEngines) -> Verdict | None:
    """Votes until the majority is certain: in batches as small as can decide. Judges of several pools vote in turn."""
    against: list[str] = []
    asked = readable = 0
    while asked < settings.votes:
        left = settings.votes - asked
        # As many as it takes at least to reject, or to make sure that nothing can.
        batch = min(left, settings.against - len(against), left + len(against) - settings.against + 1)
        batch = max(batch, 1)
        for answer in await engines.panel("judge", _request(question, batch, settings, dialog, asked), asked):
            vote = _read(answer, question)
            readable += vote is not None
            if vote and vote[0] in question.against:
                against.append(f"{vote[0]} ({vote[1][:80]!r})" if question.quoted else repr(vote[0]))
        asked += batch
        if len(against) >= settings.against or len(against) + settings.votes - asked < settings.against:
            break
    if not readable:
        reason = "no vote of the judge could be read"
        return Verdict(stage="experts", rule="unreadable", turn=question.turn, evidence=f"{question.expert}: {reason}")
    if len(against) < settings.against:
        return None
    shown = f"{len(against)} of {asked} votes: {against[0]}"
    return Verdict(stage="experts", rule=question.expert, turn=question.turn, evidence=shown[:300])


def _request(question: Question, number: int, settings: ExpertConfig, dialog: Dialog, asked: int) -> GenerateRequest:
    properties: dict[str, Any] = {question.field: {"type": "string", "enum": list(question.answers)}}
    if question.quoted:
        properties = {"evidence": {"type": "string", "minLength": 1, "maxLength": 60}, **properties}
    return GenerateRequest(
        messages=question.messages,
        n=number,
        max_tokens=_TOKENS,
        temperature=0.7 if settings.votes > 1 else 0.0,
        seed=(dialog.seed + asked) % 2**31,
        json_schema={
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        },
    )


def _read(text: str, question: Question) -> tuple[str, str] | None:
    """(answer, evidence) of a vote; None for one that can't be read."""
    try:
        vote = load_json(text)
    except ValueError:
        return None
    if not isinstance(vote, dict) or vote.get(question.field) not in question.answers:
        return None
    return str(vote[question.field]), str(vote.get("evidence", vote[question.field]))


# Consistency: does what was called do what is asked for?


def _consistency(dialog: Dialog) -> Iterator[Question]:
    """The judge does not say yes or no to what it sees, it names the function itself: small models agree with anything, or
    with nothing, but choose well enough (docs/benchmarks.md)."""
    names = (*(api.name for api in dialog.tools), NONE)
    before = ""
    for exchange in exchanges(dialog):
        request = _asked(dialog, exchange)
        expected = fitting(dialog, exchange)
        if expected is not None:
            shown = f"{before} {request}" if before else request  # "the same for Lyon" is about what was asked before
            messages = prompt("consistency").render(
                request=shown, functions=[{"name": api.name, "wish": wish(api)} for api in dialog.tools]
            )
            last = exchange.end - 1
            yield Question("consistency", last, messages, names, frozenset(names) - expected, "function")
        before = request


def _asked(dialog: Dialog, exchange: Exchange) -> str:
    """What the user says in an exchange until something is called, or says it at all where nothing is."""
    said = []
    for message in dialog.messages[exchange.start : exchange.end]:
        if message.tool_calls:
            break
        if message.role == "user":
            said.append(message.content)
    return " ".join(said)


def fitting(dialog: Dialog, exchange: Exchange) -> set[str] | None:
    """The functions that an exchange's request may ask for, going by what the assistant did; None where that can't be told."""
    messages = dialog.messages[exchange.start : exchange.end]
    called = {call.name for message in messages for call in message.tool_calls}
    if called:
        return called
    if dialog.kind in ("non_tool.missing", TWINS[1]):
        wanted = {api.name for api in dialog.tools if api.id in dialog.meta.get("wanted", ())}
        return wanted or None
    return {NONE}


# The others: one beginning for all of an exchange


def _shown(dialog: Dialog, exchange: Exchange, check: str, name: str = "experts") -> Sequence[ChatMessage]:
    messages = dialog.messages[exchange.start : exchange.end]
    called = {call.name for message in messages for call in message.tool_calls}
    functions = [{"name": api.name, "wish": wish(api)} for api in dialog.tools if api.name in called]
    return prompt(name).render(functions=functions, lines=list(map(_line, messages)), check=check)


def _line(message: Message) -> str:
    if message.tool_calls:
        return "\n".join(f"Call: {pythonic.render([call])[1:-1]}" for call in message.tool_calls)
    if message.role == "tool":
        return f"Result: {message.content[:MAX_RESULT]}"
    return f"{'User' if message.role == 'user' else 'Assistant'}: {' '.join(message.content.split())}"


def _tool_response(dialog: Dialog) -> Iterator[Question]:
    """Do the results fit what was called? Errors that the API documents are the rules' to tell."""
    for exchange in exchanges(dialog):
        if any(message.role == "tool" for message in dialog.messages[exchange.start : exchange.end]):
            messages = _shown(dialog, exchange, "does each result fit its call?")
            yield _verdict("tool_response", exchange, messages, ("fits", "does not fit"))


def _grounding(dialog: Dialog) -> Iterator[Question]:
    """Which part of the answer do the results not say? The judge names a part, and the code holds that part against what is known:
    only one with something new in it speaks against the dialog."""
    for exchange in exchanges(dialog):
        messages = dialog.messages[exchange.start : exchange.end]
        if any(message.role == "tool" for message in messages) and messages[-1].content:
            asked = _shown(dialog, exchange, "", "grounding")
            known = _known(dialog, exchange)
            said = parts(messages[-1].content)
            if new := _saying_more(said, known):
                yield Question("grounding", exchange.end - 1, asked, (NONE, *said), new, quoted=False)


def parts(text: str) -> tuple[str, ...]:
    """The sentences and clauses of a text, as many as a judge can choose from."""
    found = re.split(r"(?<=[.!?;,])\s+|\s+(?=(?:and|with|but) )", text.strip())
    return tuple(dict.fromkeys(part[:MAX_PART] for part in found if part and part != NONE))[:MAX_PARTS]


def _known(dialog: Dialog, exchange: Exchange) -> frozenset[str]:
    """The words of the request, its calls and their results, of the functions' descriptions and of what was said before."""
    tools = {api.name: api for api in dialog.tools}
    texts = [message.content for message in dialog.messages[: exchange.end - 1]]
    for message in dialog.messages[: exchange.end - 1]:
        for call in message.tool_calls:
            texts += [str(value) for _, value in leaves(call.arguments)]
            if api := tools.pop(call.name, None):
                texts += [api.name, api.description, json.dumps(api.returns, ensure_ascii=False)]
    results = [message for message in dialog.messages[exchange.start : exchange.end - 1] if message.role == "tool"]
    if any(is_error(_parsed(message.content)) for message in results):
        texts.append(_OF_ERRORS)
    return frozenset(fold(" ".join(texts)[:MAX_KNOWN]).split())


def _parsed(content: str) -> Any:
    try:
        return load_json(content)
    except ValueError:
        return None


def _saying_more(said: tuple[str, ...], known: frozenset[str]) -> frozenset[str]:
    """The parts of an answer with a word or a number of their own: one that is known in no form, and that carries news."""
    stems = {word[:4] for word in known if len(word) > 3}
    numbers = {int(number) for word in known for number in _NUMBER.findall(word)}

    def new(word: str) -> bool:
        if word in known or word in _CARRIERS:
            return False
        if _NUMBER.fullmatch(word):
            return int(word) not in numbers
        return len(word) > 2 and word[:4] not in stems

    return frozenset(part for part in said if any(map(new, fold(part).split())))


_NUMBER = re.compile(r"[0-9]{1,15}")
_OF_ERRORS = "error failed unable could cannot can't couldn't not no found find exist permission allowed granted unfortunately sorry because problem try again later invalid"
# What answers are made of whatever they say; folded as they are compared, without a final s ("ha" is has).
_CARRYING = (
    "the a an is are was were be been will would can could has have had do does did it its it's that this these those there here in on at of to for from by "
    "with and or but as so if your you my me we our us they their them i i'm i've not no yes please thank you're welcome sure okay sorry about also "
    "than then now currently go goe come get got set make made take taken give given show shown tell told see say said found find following "
    "available located called named titled number code id name degree percent total result information detail sum up per each "
    "ha wa doe thi hi let know anything else help any more happy one two all both another first second next new"
)
_CARRIERS = frozenset(_CARRYING.split())


def _meaning(dialog: Dialog) -> Iterator[Question]:
    """Is what is said clear, no repetition and no meaningless text?"""
    for exchange in exchanges(dialog):
        messages = _shown(dialog, exchange, "is everything that is said clear?")
        yield _verdict("meaning", exchange, messages, ("clear", "repeats itself", "makes no sense"))


def _hallucination(dialog: Dialog) -> Iterator[Question]:
    """Which words say a value that provenance could not trace? What it could trace is not asked."""
    untraced = {(record.call_id, record.path) for record in trace(dialog) if record.source == "none"}
    if not untraced:
        return
    left = MAX_VALUES
    for exchange in exchanges(dialog):
        for turn in range(exchange.start, exchange.end):
            said = tuple(
                dict.fromkeys(
                    part
                    for message in dialog.messages[:turn]
                    if message.role == "user"
                    for part in parts(message.content)
                )
            )[-MAX_PARTS:]
            for call in dialog.messages[turn].tool_calls:
                for path, value in leaves(call.arguments):
                    if (call.id, pointer(path)) in untraced and left:
                        left -= 1
                        name = ".".join(map(str, path))
                        check = f"which words say {name} = {json.dumps(value, ensure_ascii=False)[:120]}?"
                        shown = _shown(dialog, exchange, check)
                        yield Question("hallucination", turn, shown, (NONE, *said), frozenset({NONE}), quoted=False)


def _verdict(
    expert: ExpertName, exchange: Exchange, messages: Sequence[ChatMessage], answers: tuple[str, ...]
) -> Question:
    """A question whose first answer is the one in favour."""
    return Question(expert, exchange.end - 1, messages, answers, frozenset(answers[1:]))


_QUESTIONS: dict[ExpertName, Callable[[Dialog], Iterator[Question]]] = {
    "consistency": _consistency,
    "hallucination": _hallucination,
    "tool_response": _tool_response,
    "grounding": _grounding,
    "meaning": _meaning,
}


def questions(dialog: Dialog, names: Sequence[ExpertName]) -> list[Question]:
    """What the named experts would be asked about a dialog."""
    return [question for name in names for question in _QUESTIONS[name](dialog)]
