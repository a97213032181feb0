"""The model layer: one expert per question, each a prompt with a small verdict schema, decided by votes."""

from __future__ import annotations

import json
import re
from typing import Any

from toolace_ray.config import VerifyConfig
from toolace_ray.engines.protocol import GenerateRequest
from toolace_ray.engines.roles import TaskEngines
from toolace_ray.limits import load_json
from toolace_ray.prompts import prompt
from toolace_ray.schema import Dialog, Verdict

# The verdict comes first: small judges talk themselves into "no" when they have to give evidence before it
# (measured, docs/benchmarks.md).
VERDICT_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "verdict": {"type": "string", "enum": ["yes", "no"]},
        "evidence": {"type": "string", "minLength": 1, "maxLength": 80},
    },
    "required": ["verdict", "evidence"],
    "additionalProperties": False,
}


async def consistency(dialog: Dialog, config: VerifyConfig, engines: TaskEngines) -> list[Verdict]:
    """Ask whether the assistant did what was asked (paper section 2.3, consistency check).

    Votes that can't be read count for neither side. Returns one rejecting verdict where `consistency_against` votes
    say "no", else none. Raises EngineError.
    """
    if not config.consistency_votes:
        return []
    request = GenerateRequest(
        messages=prompt("consistency").render(
            request=" ".join(message.content for message in dialog.messages if message.role == "user"),
            functions=[api.name for api in dialog.tools],
            calls=[
                {"name": call.name, "arguments": call.arguments}
                for message in dialog.messages
                for call in message.tool_calls
            ],
            results=[_result(message.content) for message in dialog.messages if message.role == "tool"],
            answer=dialog.messages[-1].content,
        ),
        n=config.consistency_votes,
        max_tokens=80,
        temperature=0.7 if config.consistency_votes > 1 else 0.0,
        seed=dialog.seed % 2**31,
        json_schema=VERDICT_SCHEMA,
    )
    answer = await engines.generate("judge", request)
    against: list[str] = []
    for sample in answer.samples:
        try:
            vote = load_json(sample.text)
        except ValueError:
            continue
        if isinstance(vote, dict) and vote.get("verdict") == "no":
            against.append(re.sub(r"\s+", " ", str(vote.get("evidence")))[:200])
    if len(against) < config.consistency_against:
        return []
    evidence = f"{len(against)} of {config.consistency_votes} votes: {against[0]}"
    return [Verdict(stage="experts", rule="consistency", turn=len(dialog.messages) - 1, evidence=evidence)]


def _result(content: str) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return content
