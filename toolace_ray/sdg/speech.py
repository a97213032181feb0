"""What the user and the assistant say: each text is chosen among several candidates by rules in code.

Invariants: a text that is returned passed its check; nobody says a tool's or a parameter's name in code style; the style
and the language of a plan hold for all that is said in it.
"""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from toolace_ray.config.tree import Config, Role
from toolace_ray.dlv.experts.consistency import named_function
from toolace_ray.dlv.experts.question import NONE
from toolace_ray.dlv.experts.votes import ask
from toolace_ray.dlv.layer import rejects, run_rules
from toolace_ray.dlv.repair import retry_messages
from toolace_ray.dlv.rules.texts import code_names
from toolace_ray.dlv.trace import trace
from toolace_ray.engines.protocol import ChatMessage, GenerateRequest
from toolace_ray.engines.roles import TaskEngines
from toolace_ray.prompts import prompt, versions
from toolace_ray.records.api import Api
from toolace_ray.records.describe import purpose
from toolace_ray.records.dialog import Dialog, Message, ToolCall
from toolace_ray.sdg import wording
from toolace_ray.sdg.invented import Unfit
from toolace_ray.sdg.plans import STYLES, Plan
from toolace_ray.text.dates import spoken_day
from toolace_ray.text.tidy import clean, tidy

WORD_TOKENS = 90
MAX_ASKED = 3  # wordings of one request that the judges are asked about
SET_BY_PROMPT = "Unless told otherwise, the"
SYSTEM = (
    "You are a helpful assistant that can call functions. Today is {day}.",
    "You answer with the help of the functions you are given and ask when something is missing. The date is {day}.",
    "It is {day}. Use the functions at hand where they fit; where none fits, say so.",
)
Fault = Callable[[str], str | None]


@dataclass(frozen=True)
class Constraint:
    """What the system prompt sets: a parameter's value that holds unless the user says otherwise."""

    name: str
    value: Any

    def __str__(self) -> str:
        return f" {SET_BY_PROMPT} {self.name.replace('_', ' ')} is {self.value}."


class Scene:
    """A dialog on its way: the messages so far, and the agents who say the next one."""

    def __init__(self, plan: Plan, rng: random.Random, config: Config, engines: TaskEngines) -> None:
        self.plan, self.rng, self.config, self.engines = plan, rng, config, engines
        self.messages: list[Message] = []
        self.meta: dict[str, Any] = {}
        self.settings = config.generate
        self.english = plan.language == "English"
        self._thoughts: dict[str, str] = {}
        self._names = set().union(*(code_names(api) for api in (*plan.tools, *plan.wanted)))

    # Bookkeeping

    def open(self, constraint: Constraint | None = None) -> None:
        """Begin with the system prompt."""
        text = self.rng.choice(SYSTEM).format(day=spoken_day(self.plan.today)) + (str(constraint) if constraint else "")
        self.messages.append(Message(role="system", content=text))

    def call(self, calls: Sequence[ToolCall], results: Sequence[Any], **more: Any) -> None:
        """A turn of calls and their results."""
        self.messages.append(Message(role="assistant", tool_calls=tuple(calls), **more))
        for call, result in zip(calls, results, strict=True):
            content = json.dumps(result, ensure_ascii=False)
            self.messages.append(Message(role="tool", content=content, tool_call_id=call.id, name=call.name))

    def dialog(self, *more: Message) -> Dialog:
        """The dialog so far, with `more` messages."""
        plan = self.plan
        domain = plan.wanted[0].domain if plan.wanted else ()
        draft = Dialog(
            id=plan.task.id,
            type=plan.task.type,
            kind=plan.task.kind,
            attempt=plan.task.attempt,
            seed=plan.task.seed,
            today=plan.today.isoformat(),
            tools=plan.tools,
            messages=(*self.messages, *more),
            meta={
                "wanted": [api.id for api in plan.wanted],
                "domain": list(domain),
                "strategy": self.settings.strategy,
                "style": plan.style,
                "persona": plan.persona,
                "language": plan.language,
                "models": dict(self.engines.models),
                "prompts": versions(),
                **self.meta,
            },
        )
        return draft.model_copy(update={"provenance": trace(draft)})

    def problem(self, text: str, last: bool) -> str | None:
        """Why the rule layer rejects the assistant's text as the next message, or the whole dialog if it is the last; else None."""
        dialog = self.dialog(Message(role="assistant", content=text))
        turn = len(self.messages)
        verdicts = [v for v in rejects(run_rules(dialog, self.config.verify)) if last or v.turn == turn]
        return f"{verdicts[0].rule}: {verdicts[0].evidence}" if verdicts else None

    # The user

    async def requested(self, api: Api, said: dict[str, Any], hidden: dict[str, Any]) -> str:
        """The words of one intent: every value of `said`, none of `hidden`, nothing invented. Raises Unfit."""
        values = wording.stated_values(said)
        context = self._context()
        difficulty = self.plan.difficulty

        def fault(text: str) -> str | None:
            return self._leak(text) or wording.request_fault(
                text, api, values, self.plan.today, hidden, self.english, context
            )

        facts = wording.prompt_values(said, self.plan.today if difficulty.implicit else None)
        messages = prompt("request").render(facts={"wish": purpose(api), "values": facts})
        texts = await self._candidates("user", messages, self.settings.query_samples, fault, "request")
        texts.sort(key=lambda text: -wording.request_score(text, api, self.plan.style, difficulty.distance))
        return await self._understood(texts, api)

    async def _understood(self, texts: list[str], api: Api) -> str:
        """The first of the texts of which the judges name the function that it is to ask for, where they are asked at all
        (verify.experts.consistency): what they will reject in the end is not played to its end. Raises Unfit."""
        settings = self.config.verify.experts.get("consistency")
        if settings is None:
            return texts[0]
        reason = ""
        expected = api.name if any(tool.id == api.id for tool in self.plan.tools) else NONE
        for text in texts[:MAX_ASKED]:
            question = named_function(text, self.plan.tools, {expected}, len(self.messages))
            verdict = await ask(question, settings, self.rng.getrandbits(31), self.engines)
            if verdict is None:
                return text
            reason = reason or f"{verdict.evidence}, not {expected}, in {text!r}"
        raise Unfit("request", f"consistency: {reason}")

    async def replied(self, question: str, values: dict[str, Any]) -> str:
        """The user's answer to a question of the assistant. Raises Unfit."""
        return await self._statement("reply", values, question=question, values=wording.prompt_values(values))

    async def again(self, before: str, values: dict[str, Any]) -> str:
        """The same request as before, with other values. Raises Unfit."""
        return await self._statement("again", values, before=before, values=wording.prompt_values(values))

    async def _statement(self, name: str, said: dict[str, Any], **fields: Any) -> str:
        values = wording.stated_values(said)
        context = self._context()

        def fault(text: str) -> str | None:
            return self._leak(text) or wording.reply_fault(text, values, self.plan.today, self.english, context)

        texts = await self._candidates("user", prompt(name).render(**fields), self.settings.query_samples, fault, name)
        return min(texts, key=len)

    async def chatted(self, name: str, subject: str, question: bool) -> str:
        """What the user says where nothing is to be called. Raises Unfit."""

        def fault(text: str) -> str | None:
            return self._leak(text) or wording.user_talk_fault(text, subject, question, self.plan.today, self.english)

        messages = prompt(name).render(subject=subject)
        texts = await self._candidates("user", messages, self.settings.query_samples, fault, name)
        return texts[0]

    def _context(self) -> str:
        """What was said and returned so far."""
        return "\n".join(message.content for message in self.messages)

    def _leak(self, text: str) -> str | None:
        name = next((name for name in self._names if name in text), None)
        return f"names {name}" if name else None

    # The assistant

    async def said(
        self,
        step: str,
        fault: Fault,
        last: bool,
        score: Callable[[str], float] = lambda text: -len(text) / 1000,
        /,
        **fields: Any,
    ) -> str:
        """Add the assistant's next text: by the prompt `step`, without `fault`, and passed by the rule layer. Raises Unfit."""

        def any_fault(text: str) -> str | None:
            return fault(text) or self.problem(text, last)

        messages = prompt(step).render(**fields)
        texts = await self._candidates("assistant", messages, self.settings.answer_samples, any_fault, step)
        best = max(texts, key=score)
        thought = self._thoughts.get(best) if self.settings.keep_thoughts else None
        self.messages.append(Message(role="assistant", content=best, thought=thought or None))
        return best

    async def _candidates(
        self, role: Role, messages: list[dict[str, str]], count: int, fault: Fault, step: str
    ) -> list[str]:
        """The candidates without fault, all different; where there is none, one goes back with its fault (verify.repair).

        Raises Unfit with a fault of the last round when there is none then.
        """
        request = GenerateRequest(
            messages=self._with_speaker(role, messages),
            n=count,
            max_tokens=WORD_TOKENS,
            temperature=self.settings.temperature,
            seed=self.rng.getrandbits(31),
            stop=("\n",),
        )
        passed: dict[str, None] = {}
        self._thoughts = {}
        reason = "no candidate"
        for round in range(1 + self.config.verify.repair):
            failed: dict[str, str] = {}
            for sample in (await self.engines.generate(role, request)).samples:
                text = tidy(sample.text)
                problem = "cut at max_tokens" if sample.finish == "length" else fault(text)
                if problem is None:
                    passed[text] = None
                    self._thoughts[text] = clean(sample.thought)
                else:
                    failed[text] = problem
            if passed:
                if round:
                    self.meta["repairs"] = self.meta.get("repairs", 0) + 1
                return list(passed)
            text = min(failed, key=lambda text: (not text, failed[text] == "cut at max_tokens", len(text)))
            reason = f"{failed[text]} in {text!r}"
            retry = retry_messages(self._with_speaker(role, messages), text, failed[text])
            request = dataclasses.replace(request, messages=retry, seed=self.rng.getrandbits(31))
        raise Unfit(step, reason)

    def _with_speaker(self, role: Role, messages: list[dict[str, str]]) -> list[ChatMessage]:
        """The messages, the first of which also tells who the user is and how it speaks, and the language."""
        more = []
        if role == "user":
            # A blueprint's user has no more to say than its values; who it is would tempt a small model to tell.
            more += [f"You are {self.plan.persona}."] if self.settings.strategy == "roleplay" else []
            more += [STYLES[self.plan.style]] if self.plan.style != "plain" else []
        more += [] if self.english else [f"Whatever language the examples are in, write in {self.plan.language}."]
        if not more:
            return list(messages)
        first = {**messages[0], "content": " ".join([messages[0]["content"], *more])}
        return [first, *messages[1:]]
