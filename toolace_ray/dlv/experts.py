"""The model layer: one expert per question, each a prompt with a small answer schema, decided by votes."""

from __future__ import annotations

from typing import Any

from toolace_ray.config import VerifyConfig
from toolace_ray.engines.protocol import GenerateRequest
from toolace_ray.engines.roles import TaskEngines
from toolace_ray.limits import load_json
from toolace_ray.prompts import prompt
from toolace_ray.schema import TWINS, Dialog, Verdict
from toolace_ray.sdg.wording import wish

NONE = "none"


async def consistency(dialog: Dialog, config: VerifyConfig, engines: TaskEngines) -> list[Verdict]:
    """Does the request ask for what was called (paper section 2.3, consistency: the task is the one that was set)?

    The judge does not say yes or no to what it sees, it names the function itself: small models agree with anything, or
    with nothing, but choose well enough (docs/benchmarks.md). A vote is against the dialog when it names a function that
    was not called, or "none" where one was. Votes that can't be read count for neither side; where none can, the dialog is not
    accepted.

    Returns:
        One rejecting verdict where none could be read or `consistency_against` votes or more are against the dialog, else none.

    Raises:
        EngineError: the judge could not be asked.
    """
    expected = fitting(dialog)
    if not config.consistency_votes or expected is None:
        return []
    request = GenerateRequest(
        messages=prompt("consistency").render(
            request=_request(dialog),
            functions=[{"name": api.name, "wish": wish(api)} for api in dialog.tools],
        ),
        n=config.consistency_votes,
        max_tokens=80,
        temperature=0.7 if config.consistency_votes > 1 else 0.0,
        seed=dialog.seed % 2**31,
        json_schema=_answer_schema([api.name for api in dialog.tools]),
    )
    answer = await engines.generate("judge", request)
    against: list[str] = []
    readable = 0
    for sample in answer.samples:
        try:
            vote = load_json(sample.text)
        except ValueError:
            continue
        if not isinstance(vote, dict) or not isinstance(vote.get("function"), str):
            continue
        readable += 1
        if vote["function"] not in expected:
            against.append(f"{vote['function']} ({str(vote.get('evidence'))[:80]!r})")
    if not readable:
        return [Verdict(stage="experts", rule="unreadable", evidence="no vote of the judge could be read")]
    if len(against) < config.consistency_against:
        return []
    shown = f"{len(against)} of {config.consistency_votes} votes: the request asks for {against[0]}"
    return [Verdict(stage="experts", rule="consistency", turn=len(dialog.messages) - 1, evidence=shown)]


def _request(dialog: Dialog) -> str:
    """What the user says until something is called, or says it at all where nothing is."""
    said = []
    for message in dialog.messages:
        if message.tool_calls:
            break
        if message.role == "user":
            said.append(message.content)
    return " ".join(said)


def fitting(dialog: Dialog) -> set[str] | None:
    """The functions that the request may ask for, going by what the assistant did; None where that can't be told."""
    called: set[str] = set()
    for message in dialog.messages:
        if called and message.role == "user":
            break  # what is asked for later is not in the request that the judge sees
        called |= {call.name for call in message.tool_calls}
    if called:
        return called
    if dialog.kind in ("non_tool.missing", TWINS[1]):
        wanted = {api.name for api in dialog.tools if api.id in dialog.meta.get("wanted", ())}
        return wanted or None
    return {NONE}


def _answer_schema(names: list[str]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            "evidence": {"type": "string", "minLength": 1, "maxLength": 60},
            "function": {"type": "string", "enum": [*names, NONE]},
        },
        "required": ["evidence", "function"],
        "additionalProperties": False,
    }
