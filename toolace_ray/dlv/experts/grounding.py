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

MAX_KNOWN = 1 << 16  # characters


def questions(dialog: Dialog) -> Iterator[Question]:
    """Which part of the answer do the results not say? The judge names a part, and the code holds that part against what is known:
    only one with something new in it speaks against the dialog."""
    for group in turn_groups(dialog):
        messages = dialog.messages[group.start : group.end]
        if any(message.role == "tool" for message in messages) and messages[-1].content:
            asked = rendered(dialog, group, "", "grounding")
            known = _known(dialog, group)
            said = parts(messages[-1].content)
            if new := _saying_more(said, known):
                yield Question("grounding", group.end - 1, asked, (NONE, *said), new, quoted=False)


def _known(dialog: Dialog, group: TurnGroup) -> frozenset[str]:
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
        texts.append(_OF_ERRORS)
    return frozenset(bare_words(" ".join(texts)[:MAX_KNOWN]).split())


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

    return frozenset(part for part in said if any(map(new, bare_words(part).split())))


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
