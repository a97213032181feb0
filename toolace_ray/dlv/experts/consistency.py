"""Consistency: does what was called do what is asked for? It has a prompt of its own, which must not see what was called."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from toolace_ray.dlv.experts.question import NONE, Question, TurnGroup, asked_for, turn_groups
from toolace_ray.prompts import prompt
from toolace_ray.records.api import Api
from toolace_ray.records.describe import purpose
from toolace_ray.records.dialog import Dialog
from toolace_ray.records.kinds import CONTRAST_VALUE


def questions(dialog: Dialog) -> Iterator[Question]:
    """One question a turn group: which function does the request ask for? The judge names it and does not say yes or no to a call:
    small models agree with anything, or with nothing, but choose well enough (docs/benchmarks.md)."""
    before = ""
    for group in turn_groups(dialog):
        request = asked_for(dialog, group)
        expected = fitting(dialog, group)
        if expected is not None:
            # "The same for Lyon" is about what was asked before.
            full_request = f"{before} {request}" if before else request
            yield named_function(full_request, dialog.tools, expected, group.end - 1)
        before = request


def named_function(request: str, tools: Sequence[Api], expected: Collection[str], turn: int) -> Question:
    """Which of the functions does a request ask for? Any answer but the expected ones speaks against it."""
    names = (*(api.name for api in tools), NONE)
    functions = [{"name": api.name, "purpose": purpose(api)} for api in tools]
    messages = prompt("consistency").render(request=request, functions=functions)
    return Question("consistency", turn, messages, names, frozenset(names) - frozenset(expected), "function")


def fitting(dialog: Dialog, group: TurnGroup) -> set[str] | None:
    """The functions that a turn group's request may ask for: those called; else, where the dialog lacks a value that a call needs,
    those that its plan wanted (None where it names none); else NONE alone."""
    messages = dialog.messages[group.start : group.end]
    called = {call.name for message in messages for call in message.tool_calls}
    if called:
        return called
    if dialog.kind in ("non_tool.missing", CONTRAST_VALUE):
        wanted = {api.name for api in dialog.tools if api.id in dialog.meta.get("wanted", ())}
        return wanted or None
    return {NONE}
