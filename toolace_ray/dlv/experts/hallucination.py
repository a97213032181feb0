"""Hallucination: which words say a value that no rule could trace?"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import islice

from toolace_ray.dlv.experts.question import MAX_PARTS, NONE, Question, parts, rendered, turn_groups
from toolace_ray.dlv.trace import trace
from toolace_ray.records.dialog import Dialog, Message
from toolace_ray.schemas.walk import leaves, pointer

MAX_VALUES = 8  # values of a dialog that the hallucination expert is asked about


def questions(dialog: Dialog) -> Iterator[Question]:
    """Which words say a value whose provenance is "none"? One question a value, at most MAX_VALUES of a dialog."""
    untraced = {(record.call_id, record.path) for record in trace(dialog) if record.source == "none"}
    return islice(_of_values(dialog, untraced), MAX_VALUES)


def _of_values(dialog: Dialog, untraced: set[tuple[str, str]]) -> Iterator[Question]:
    for group in turn_groups(dialog) if untraced else ():
        for turn in range(group.start, group.end):
            for call in dialog.messages[turn].tool_calls:
                for path, value in leaves(call.arguments):
                    if (call.id, pointer(path)) in untraced:
                        written = json.dumps(value, ensure_ascii=False)[:120]
                        check = f"which words say {'.'.join(map(str, path))} = {written}?"
                        messages, user_parts = rendered(dialog, group, check), _user_parts(dialog.messages[:turn])
                        yield Question(
                            "hallucination", turn, messages, (NONE, *user_parts), frozenset({NONE}), quoted=False
                        )


def _user_parts(before: Sequence[Message]) -> tuple[str, ...]:
    """The last parts of what the user said."""
    user_parts = [part for message in before if message.role == "user" for part in parts(message.content)]
    return tuple(dict.fromkeys(user_parts))[-MAX_PARTS:]
