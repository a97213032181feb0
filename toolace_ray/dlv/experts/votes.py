"""A question decided by votes, in batches as small as can decide."""

from __future__ import annotations

from typing import Any

from toolace_ray.config.tree import ExpertConfig
from toolace_ray.dlv.experts.question import Question
from toolace_ray.engines.protocol import GenerateRequest
from toolace_ray.engines.roles import TaskEngines
from toolace_ray.records.json import load_json
from toolace_ray.records.verdict import Verdict

_TOKENS = 80


async def ask(question: Question, settings: ExpertConfig, seed: int, engines: TaskEngines) -> Verdict | None:
    """The verdict of the judges' votes; None where fewer than `settings.against` of `settings.votes` are against it.

    The votes come in batches as small as can decide; judges of several pools vote in turn.

    Raises:
        EngineError: a judge could not be asked.
    """
    against: list[str] = []
    asked = readable = 0
    while asked < settings.votes:
        left = settings.votes - asked
        # As many as it takes at least to reject, or to make sure that nothing can.
        batch = min(left, settings.against - len(against), left + len(against) - settings.against + 1)
        batch = max(batch, 1)
        for answer in await engines.panel("judge", _request(question, batch, settings, seed + asked), asked):
            vote = _parsed_vote(answer, question)
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
    tally = f"{len(against)} of {asked} votes: {against[0]}"
    return Verdict(stage="experts", rule=question.expert, turn=question.turn, evidence=tally[:300])


def _request(question: Question, number: int, settings: ExpertConfig, seed: int) -> GenerateRequest:
    properties: dict[str, Any] = {question.field: {"type": "string", "enum": list(question.answers)}}
    if question.quoted:
        properties = {"evidence": {"type": "string", "minLength": 1, "maxLength": 60}, **properties}
    return GenerateRequest(
        messages=question.messages,
        n=number,
        max_tokens=_TOKENS,
        temperature=0.7 if settings.votes > 1 else 0.0,
        seed=seed % 2**31,
        json_schema={
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        },
    )


def _parsed_vote(text: str, question: Question) -> tuple[str, str] | None:
    """(answer, evidence) of a vote; None for one that can't be read."""
    try:
        vote = load_json(text)
    except ValueError:
        return None
    if not isinstance(vote, dict) or vote.get(question.field) not in question.answers:
        return None
    return str(vote[question.field]), str(vote.get("evidence", vote[question.field]))
