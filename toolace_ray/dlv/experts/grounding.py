"""Grounding: which part of the answer do the results not say?

It has a prompt of its own: examples of other questions confuse it (a 1.5B model found 24 of 36 such defects with a prompt of its
own, 5 to 7 with the shared one).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from toolace_ray.dlv.experts.question import NONE, Question, TurnGroup, parts, rendered, turn_groups
from toolace_ray.records.api import is_error
from toolace_ray.records.dialog import Dialog
from toolace_ray.records.json import load_json
from toolace_ray.schemas.walk import leaves
from toolace_ray.text.values import bare_words

MAX_CONTEXT = 1 << 16  # characters


def questions(dialog: Dialog) -> Iterator[Question]:
    """Which part of the answer do the results not say? The judge names a part, which speaks against the dialog only where it has a
    word or number that neither the results nor anything said before has."""
    for group in turn_groups(dialog):
        messages = dialog.messages[group.start : group.end]
        if any(message.role == "tool" for message in messages) and messages[-1].content:
            instruction = rendered(dialog, group, "", "grounding")
            context = _context_words(dialog, group)
            answer_parts = parts(messages[-1].content)
            if news := _parts_with_news(answer_parts, context):
                yield Question("grounding", group.end - 1, instruction, (NONE, *answer_parts), news, quoted=False)


def _context_words(dialog: Dialog, group: TurnGroup) -> frozenset[str]:
    """The words of the request, its calls and their results, of the functions' descriptions and of what was said before."""
    tools = {api.name: api for api in dialog.tools}
    texts = [message.content for message in dialog.messages[: group.end - 1]]
    for message in dialog.messages[: group.end - 1]:
        for call in message.tool_calls:
            texts += [str(value) for _, value in leaves(call.arguments)]
            if api := tools.pop(call.name, None):
                texts += [api.name, api.description, json.dumps(api.returns, ensure_ascii=False)]
    results = [message for message in dialog.messages[group.start : group.end - 1] if message.role == "tool"]
    if any(is_error(_parsed(message.content)) for message in results):
        texts.append(_ERROR_WORDS)
    return frozenset(bare_words(" ".join(texts)[:MAX_CONTEXT]).split())


def _parsed(content: str) -> Any:
    try:
        return load_json(content)
    except ValueError:
        return None


def _parts_with_news(answer_parts: tuple[str, ...], context: frozenset[str]) -> frozenset[str]:
    """The parts of an answer with a number, or a word that is no filler, that the context has in no form."""
    stems = {word[:4] for word in context if len(word) > 3}
    numbers = {int(number) for word in context for number in _NUMBER.findall(word)}

    def is_news(word: str) -> bool:
        if word in context or word in _FILLERS:
            return False
        if _NUMBER.fullmatch(word):
            return int(word) not in numbers
        return len(word) > 2 and word[:4] not in stems

    return frozenset(part for part in answer_parts if any(map(is_news, bare_words(part).split())))


_NUMBER = re.compile(r"[0-9]{1,15}")
_ERROR_WORDS = "error failed unable could cannot can't couldn't not no found find exist permission allowed granted unfortunately sorry because problem try again later invalid"
# What answers are made of whatever they say; written as bare_words gives them, without a final s ("ha" is has).
_FILLER_WORDS = (
    "the a an is are was were be been will would can could has have had do does did it its it's that this these those there here in on at of to for from by "
    "with and or but as so if your you my me we our us they their them i i'm i've not no yes please thank you're welcome sure okay sorry about also "
    "than then now currently go goe come get got set make made take taken give given show shown tell told see say said found find following "
    "available located called named titled number code id name degree percent total result information detail sum up per each "
    "ha wa doe thi hi let know anything else help any more happy one two all both another first second next new"
)
_FILLERS = frozenset(_FILLER_WORDS.split())
