"""The model layer: one expert per question (paper section 2.3), each a prompt with a small answer schema, decided by votes.

What the rules have decided is not asked again, and an expert sees the turn group that it judges, not the whole dialog.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from toolace_ray.config.tree import ExpertName, VerifyConfig
from toolace_ray.dlv.experts import consistency, grounding, hallucination, meaning, tool_response
from toolace_ray.dlv.experts.question import Question
from toolace_ray.dlv.experts.votes import ask
from toolace_ray.engines.roles import TaskEngines
from toolace_ray.records.dialog import Dialog
from toolace_ray.records.verdict import Verdict


async def judge(dialog: Dialog, config: VerifyConfig, engines: TaskEngines) -> list[Verdict]:
    """What the configured experts hold against a dialog that passed the rules; empty lets it pass.

    The first expert against it ends the asking: one reason is enough, and the rest would cost tokens.

    Raises:
        EngineError: a judge could not be asked.
    """
    for name, settings in config.experts.items():
        for question in _EXPERTS[name](dialog):
            if verdict := await ask(question, settings, dialog.seed, engines):
                return [verdict]
    return []


_EXPERTS: dict[ExpertName, Callable[[Dialog], Iterator[Question]]] = {
    "consistency": consistency.questions,
    "hallucination": hallucination.questions,
    "tool_response": tool_response.questions,
    "grounding": grounding.questions,
    "meaning": meaning.questions,
}


def questions(dialog: Dialog, names: Sequence[ExpertName]) -> list[Question]:
    """What the named experts would be asked about a dialog."""
    return [question for name in names for question in _EXPERTS[name](dialog)]
