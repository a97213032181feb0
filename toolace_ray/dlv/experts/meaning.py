"""Meaning: is what is said clear, no repetition and no meaningless text?"""

from __future__ import annotations

from collections.abc import Iterator

from toolace_ray.dlv.experts.question import Question, in_favour_first, rendered, turn_groups
from toolace_ray.records.dialog import Dialog


def questions(dialog: Dialog) -> Iterator[Question]:
    """Is what is said clear, no repetition and no meaningless text?"""
    for group in turn_groups(dialog):
        messages = rendered(dialog, group, "is everything that is said clear?")
        yield in_favour_first("meaning", group, messages, ("clear", "repeats itself", "makes no sense"))
