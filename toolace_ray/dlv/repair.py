"""Repair: what failed goes back to its writer with the reason, a bounded number of times (method.md section 3)."""

from __future__ import annotations

import json
from collections.abc import Sequence

from toolace_ray.config.tree import Config
from toolace_ray.dlv.experts.question import turn_groups
from toolace_ray.dlv.layer import rejects, run_rules
from toolace_ray.dlv.trace import trace
from toolace_ray.engines.protocol import ChatMessage, GenerateRequest
from toolace_ray.engines.roles import TaskEngines
from toolace_ray.prompts import prompt
from toolace_ray.records.dialog import Dialog
from toolace_ray.records.verdict import Verdict
from toolace_ray.text.tidy import tidy

MENDED = ("grounding", "meaning")  # experts whose reason a new answer can meet
_TOKENS = 90


def retry_messages(messages: Sequence[ChatMessage], text: str, reason: str) -> list[ChatMessage]:
    """A prompt, the text that failed and a demand with the reason (200 characters of it): the messages of the writer's next try."""
    demand = f"That is not right: {reason[:200]}. Write it again, and nothing else."
    return [*messages, {"role": "assistant", "content": text}, {"role": "user", "content": demand}]


async def repaired(dialog: Dialog, verdict: Verdict, config: Config, engines: TaskEngines) -> Dialog | None:
    """The dialog with another answer in the place of the one that an expert rejects; None where none passes the rules.

    Raises:
        EngineError: the assistant could not be asked.
    """
    turn = verdict.turn
    if verdict.rule not in MENDED or turn is None or dialog.messages[turn - 1].role != "tool":
        return None
    group = next(item for item in turn_groups(dialog) if item.start <= turn < item.end)
    requests = [message.content for message in dialog.messages[group.start : turn] if message.role == "user"]
    results = [json.loads(message.content) for message in dialog.messages[group.start : turn] if message.role == "tool"]
    messages = prompt("answer").render(request=" ".join(requests), results=results)
    request = GenerateRequest(
        messages=retry_messages(messages, dialog.messages[turn].content, verdict.evidence),
        n=config.generate.answer_samples,
        max_tokens=_TOKENS,
        temperature=config.generate.temperature,
        seed=(dialog.seed + turn) % 2**31,
        stop=("\n",),
    )
    for sample in (await engines.generate("assistant", request)).samples:
        text = tidy(sample.text)
        if sample.finish == "length" or text == dialog.messages[turn].content:
            continue
        changed = dialog.messages[turn].model_copy(update={"content": text})
        messages_now = (*dialog.messages[:turn], changed, *dialog.messages[turn + 1 :])
        count = int(dialog.meta.get("repairs", 0)) + 1
        mended = dialog.model_copy(update={"messages": messages_now, "meta": {**dialog.meta, "repairs": count}})
        mended = mended.model_copy(update={"provenance": trace(mended)})
        if not rejects(run_rules(mended, config.verify)):
            return mended
    return None
