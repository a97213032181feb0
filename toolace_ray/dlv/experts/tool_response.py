"""Tool response: do the results fit what was called?"""

from __future__ import annotations

from collections.abc import Iterator

from toolace_ray.dlv.experts.question import Question, in_favour_first, rendered, turn_groups
from toolace_ray.records.dialog import Dialog


def questions(dialog: Dialog) -> Iterator[Question]:
    """Do the results fit what was called? One question for each turn group that has results."""
    for group in turn_groups(dialog):
        if any(message.role == "tool" for message in dialog.messages[group.start : group.end]):
            messages = rendered(dialog, group, "does each result fit its call?")
            yield in_favour_first("tool_response", group, messages, ("fits", "does not fit"))
