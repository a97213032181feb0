"""What experts ask, and what they show of a turn group.

The prompts of one turn group begin alike, the question comes last, so that an engine's prefix cache serves all experts of it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from toolace_ray.calls import pythonic
from toolace_ray.config.tree import ExpertName
from toolace_ray.engines.protocol import ChatMessage
from toolace_ray.prompts import prompt
from toolace_ray.records.describe import purpose
from toolace_ray.records.dialog import Dialog, Message

NONE = "none"
MAX_RESULT = 800  # characters of a result in a prompt
MAX_PARTS, MAX_PART = 12, 120  # parts of a text that a judge chooses from, and characters of each


@dataclass(frozen=True)
class Question:
    """One question of an expert about one turn. `against` are the answers that speak against the dialog.

    `quoted`: whether the judge first quotes its evidence, for answers that are no quotations themselves.
    """

    expert: ExpertName
    turn: int
    messages: Sequence[ChatMessage]
    answers: tuple[str, ...]
    against: frozenset[str]
    field: str = "verdict"
    quoted: bool = True


@dataclass(frozen=True)
class TurnGroup:
    """What follows one request of the user, up to the next: message indices from `start` to before `end`."""

    start: int
    end: int


def turn_groups(dialog: Dialog) -> list[TurnGroup]:
    """A dialog's turn groups. A user who answers a question goes on with the group that asked it."""
    starts: list[int] = []
    messages = dialog.messages
    for index, message in enumerate(messages):
        if message.role != "user":
            continue
        before = messages[index - 1] if index else None
        answers_question = before is not None and before.role == "assistant" and before.content.rstrip().endswith("?")
        if not starts or not answers_question:
            starts.append(index)
    return [TurnGroup(start, end) for start, end in zip(starts, [*starts[1:], len(messages)], strict=True)]


def asked_for(dialog: Dialog, group: TurnGroup) -> str:
    """What the user says in a turn group until something is called, or says it at all where nothing is."""
    requests = []
    for message in dialog.messages[group.start : group.end]:
        if message.tool_calls:
            break
        if message.role == "user":
            requests.append(message.content)
    return " ".join(requests)


def rendered(dialog: Dialog, group: TurnGroup, check: str, name: str = "experts") -> Sequence[ChatMessage]:
    """The prompt `name` about a turn group: the functions called, the group in lines, and what to check."""
    messages = dialog.messages[group.start : group.end]
    called = {call.name for message in messages for call in message.tool_calls}
    functions = [{"name": api.name, "purpose": purpose(api)} for api in dialog.tools if api.name in called]
    return prompt(name).render(functions=functions, lines=list(map(_line, messages)), check=check)


def _line(message: Message) -> str:
    if message.tool_calls:
        return "\n".join(f"Call: {pythonic.render([call])[1:-1]}" for call in message.tool_calls)
    if message.role == "tool":
        return f"Result: {message.content[:MAX_RESULT]}"
    return f"{'User' if message.role == 'user' else 'Assistant'}: {' '.join(message.content.split())}"


def parts(text: str) -> tuple[str, ...]:
    """The sentences and clauses of a text, as many as a judge can choose from."""
    pieces = re.split(r"(?<=[.!?;,])\s+|\s+(?=(?:and|with|but) )", text.strip())
    return tuple(dict.fromkeys(part[:MAX_PART] for part in pieces if part and part != NONE))[:MAX_PARTS]


def in_favour_first(
    expert: ExpertName, group: TurnGroup, messages: Sequence[ChatMessage], answers: tuple[str, ...]
) -> Question:
    """A question whose first answer is the one in favour."""
    return Question(expert, group.end - 1, messages, answers, frozenset(answers[1:]))
