"""What makes two dialogs one: the key that `toolace_ray.text.dedup` compares, exactly first and then by MinHash."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from toolace_ray.records.dialog import Dialog
from toolace_ray.records.json import digest
from toolace_ray.schemas.walk import leaves, pointer
from toolace_ray.text.dedup import joined_key
from toolace_ray.text.values import caseless

_FEWEST = 3  # values from which equal calls are one blueprint: smaller ones meet by chance
_WORDS = re.compile(r"\w+")


def dialog_key(dialog: Dialog) -> str:
    """A dialog's key: hash of what is said and called, hash of its calls alone, and its shingles' checksums (hexadecimal)."""
    texts = [caseless(message.content) for message in dialog.messages if message.role in ("user", "assistant")]
    calls = [call for message in dialog.messages for call in message.tool_calls]
    call_keys = [caseless(call.key()) for call in calls]
    whole = digest(*texts, *call_keys)
    values = sum(1 for call in calls for _ in leaves(call.arguments))
    blueprint = digest("calls", *call_keys) if values >= _FEWEST else whole
    return joined_key(whole, blueprint, _shingles(dialog))


def _shingles(dialog: Dialog) -> Iterator[str]:
    """What is asked for, in pairs of words, and what is called, value by value."""
    for message in dialog.messages:
        if message.role == "user":
            words = _WORDS.findall(message.content.lower())
            yield from (f"u:{first} {second}" for first, second in itertools.pairwise(words))
            yield from (f"w:{word}" for word in words if len(word) > 3)
        for call in message.tool_calls:
            yield f"f:{call.name}"
            yield from (f"v:{call.name}{pointer(path)}:{str(value).lower()}" for path, value in leaves(call.arguments))
