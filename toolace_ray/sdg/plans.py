"""What a dialog is to be, decided in code before a model is asked: its groups, APIs, candidates, date and style.

Invariants: a plan depends on the pool, the configuration, the task's seed and its difficulty alone; candidates are drawn
without replacement; where no function is to fit, no candidate shares the wanted API's domain or name.
"""

from __future__ import annotations

import dataclasses
import datetime
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from toolace_ray.config.tree import GenerateConfig
from toolace_ray.records.api import Api
from toolace_ray.records.kinds import KINDS, DialogType
from toolace_ray.sdg.pool import Edge, Pool, askable, corrections, domain, topic, variable

FIRST_DAY = datetime.date(2024, 1, 1)
DAYS = 3 * 365
MOST_TOOLS = 10
MOST_CALLS = 4  # in parallel
TRIES = 8  # walks through the pool for one mixed dialog

STYLES: dict[str, str] = {
    "plain": "You speak plainly.",
    "brief": "You use as few words as you can.",
    "polite": "You are very polite.",
    "chatty": "You are talkative and tell a little about why you ask.",
    "formal": "You write formally.",
    "hurried": "You are in a hurry.",
}
"""Style of speech -> the sentence about it in the prompt of the user agent."""
MOODS = (
    "a long day with {}", "looking forward to {}", "just started with {}", "tired of {}", "a friend who loves {}",
    "a good morning, and {}", "proud of some progress with {}", "a quiet weekend with {}", "wondering about {}",
    "glad that {} went well", "a greeting before some {}", "a rainy afternoon of {}",
)  # fmt: skip
THANKS = ("thanks for the help", "glad that this is settled", "relief that it was quick", "praise for the answer")
PERSONAS = (
    "a nurse on night shift", "a retired teacher", "a student in the first year", "a carpenter with a small workshop",
    "a parent of three", "a shop owner", "a software tester", "a gardener", "an accountant", "a truck driver",
    "a hotel receptionist", "a musician on tour", "a farmer", "a journalist", "a football coach", "a pharmacist",
    "a librarian", "a bus driver", "a cook", "a real estate agent", "a volunteer at a food bank", "a biologist",
    "a photographer", "a secretary of a sports club",
)  # fmt: skip
"""Who the user is in a role-play."""


@dataclass(frozen=True)
class Task:
    """One attempt at one dialog. `kind` is type and variant ("dependent.chain_3"); `seed` is below 2**31."""

    id: str
    kind: str
    attempt: int
    seed: int

    @property
    def type(self) -> DialogType:
        """The dialog's type."""
        return KINDS[self.kind]

    @property
    def variant(self) -> str:
        """What refines the type."""
        return self.kind.partition(".")[2]


@dataclass(frozen=True)
class Link:
    """The parameter `name` gets the returned `field` of the intent with the number `source`."""

    source: int
    field: str
    name: str


@dataclass(frozen=True)
class Intent:
    """One call that the user wants made.

    Attributes:
        number: counts the intents of a dialog from 0.
        link: where a value comes from an earlier result.
        like: number of the earlier intent that this one repeats with another value of `varied`.
        trouble: `error` is told and that is all; `empty` finds nothing; `retry` fails once and is made again; `correct`
            fails for its value of `varied`, and the user gives another one.
        missing: required parameter that the user does not say at first.
    """

    number: int
    api: Api
    link: Link | None = None
    like: int | None = None
    varied: str | None = None
    trouble: Literal["", "error", "empty", "retry", "correct"] = ""
    missing: str | None = None


@dataclass(frozen=True)
class PlannedGroup:
    """What one request of the user leads to. The intents are called in one turn if `parallel`, else one after another.

    `subject` is what is talked about where nothing is called.
    """

    kind: Literal["calls", "no_function", "small_talk", "knowledge"]
    intents: tuple[Intent, ...] = ()
    parallel: bool = False
    ends: Literal["answer", "ask"] = "answer"
    subject: str = ""

    @property
    def turns(self) -> int:
        """How many messages the user writes."""
        extra = sum(intent.trouble == "correct" or intent.missing is not None for intent in self.intents)
        return 1 + (extra if self.ends == "answer" else 0)


@dataclass(frozen=True)
class Difficulty:
    """What self-guided complication turns (paper section 2.2): 0 and None leave a plan as it was drawn.

    Attributes:
        calls: parallel calls more or fewer than drawn.
        tools: candidates more or fewer than drawn.
        distance: above 0 requests far from the descriptions' words are preferred, below 0 near ones.
        implicit: dates and times are said relative to the day, numbers in words.
        constraint: one value is set by the system prompt and not said.
        depend: 1 where later requests build on earlier results if they can, -1 where they don't.
        spread: 1 where later requests leave a value out that is said when asked for, -1 where they say all at once.
    """

    calls: int = 0
    tools: int = 0
    distance: int = 0
    implicit: bool = False
    constraint: bool = False
    depend: int = 0
    spread: int = 0


@dataclass(frozen=True)
class Plan:
    """A plan; see PlannedGroup."""

    task: Task
    today: datetime.date
    groups: tuple[PlannedGroup, ...]
    tools: tuple[Api, ...]
    style: str = "plain"
    persona: str = "a person"
    language: str = "English"
    difficulty: Difficulty = field(default_factory=Difficulty)

    @property
    def intents(self) -> tuple[Intent, ...]:
        """All intents in order."""
        return tuple(intent for group in self.groups for intent in group.intents)

    @property
    def wanted(self) -> tuple[Api, ...]:
        """The APIs that are to be called, and those that are asked for in vain."""
        return tuple(intent.api for intent in self.intents)

    @property
    def turns(self) -> int:
        """How many messages the user writes."""
        return sum(group.turns for group in self.groups)


class NoPlan(Exception):
    """The pool has no API, or no link, that this kind of dialog needs."""


def make_plan(task: Task, pool: Pool, config: GenerateConfig, difficulty: Difficulty | None = None) -> Plan:
    """Plan a dialog. Raises NoPlan when the pool can't carry the kind."""
    difficulty = difficulty or Difficulty()
    rng = random.Random(f"plan/{task.seed}")
    today = FIRST_DAY + datetime.timedelta(days=rng.randrange(DAYS))
    style, persona = rng.choice(list(STYLES)), rng.choice(PERSONAS)
    languages = config.languages
    language = rng.choices(list(languages), list(languages.values()))[0]
    groups = tuple(_numbered(_groups(task, pool, rng, difficulty)))
    draft = Plan(task, today, groups, (), style, persona, language, difficulty)
    return dataclasses.replace(draft, tools=candidates(draft, pool, config, rng, difficulty.tools))


def carries(kind: str, pool: Pool) -> bool:
    """True when one of eight attempts at planning a dialog of this kind succeeds."""
    for seed in range(8):
        try:
            make_plan(Task("probe", kind, 0, seed), pool, GenerateConfig())
            return True
        except NoPlan:
            continue
    return False


def _numbered(groups: list[PlannedGroup]) -> Iterator[PlannedGroup]:
    number = 0
    for group in groups:
        intents = []
        for intent in group.intents:
            intents.append(dataclasses.replace(intent, number=number))
            number += 1
        yield dataclasses.replace(group, intents=tuple(intents))


def _groups(task: Task, pool: Pool, rng: random.Random, difficulty: Difficulty) -> list[PlannedGroup]:
    """The groups of a kind. Numbers of intents within links are right, those of the intents follow."""
    variant = task.variant
    match task.type:
        case "single":
            need = {"nested": "nested", "error": "errors", "empty": "listing"}.get(variant, "plain")
            trouble = variant if variant in ("error", "empty") else ""
            return [_call_group(Intent(0, _drawn(pool, need, rng), trouble=trouble))]  # type: ignore[arg-type]
        case "parallel":
            return [_parallel_group(variant, pool, rng, 0, difficulty.calls)]
        case "dependent":
            return [_call_group(*_chain(pool, int(variant.removeprefix("chain_")), rng, 0))]
        case "clarification":
            api = _drawn(pool, "askable", rng)
            return [_call_group(Intent(0, api, missing=rng.choice(askable(api))))]
        case "recovery":
            return [_recovery_group(variant, pool, rng, 0)]
        case "multi_turn":
            for _ in range(TRIES):
                if (groups := _mixed(int(variant.removeprefix("turns_")), pool, rng, difficulty)) is not None:
                    return groups
            raise NoPlan(f"no APIs of the pool make a dialog of {variant.removeprefix('turns_')} requests")
    if variant == "missing":
        api = _drawn(pool, "askable", rng)
        return [dataclasses.replace(_call_group(Intent(0, api, missing=rng.choice(askable(api)))), ends="ask")]
    if variant == "no_function":
        return [PlannedGroup("no_function", (Intent(0, _drawn(pool, "plain", rng)),))]
    return [_talk_group("small_talk" if variant == "small_talk" else "knowledge", pool, rng)]


def _talk_group(kind: Literal["small_talk", "knowledge"], pool: Pool, rng: random.Random) -> PlannedGroup:
    """Talk that calls nothing, about what the pool's APIs are about, so that a large pool makes much to talk about."""
    if not pool.apis:
        raise NoPlan("the pool is empty")
    about = rng.choice(pool.apis).domain[-1:] or ("everyday life",)
    subject = rng.choice(MOODS).format(about[0].lower()) if kind == "small_talk" else about[0]
    return PlannedGroup(kind, subject=subject)


def _call_group(*intents: Intent, parallel: bool = False) -> PlannedGroup:
    return PlannedGroup("calls", intents, parallel)


def _drawn(pool: Pool, need: str, rng: random.Random, home: str | None = None) -> Api:
    if (api := pool.draw(need, rng, home)) is None:
        raise NoPlan(f"no API of the pool is fit for it ({need}; one to five required values that a person can say)")
    return api


def _parallel_group(
    variant: str, pool: Pool, rng: random.Random, first: int, more: int = 0, home: str | None = None
) -> PlannedGroup:
    """Calls in one turn: of one API with different values, or of different APIs of one domain."""
    count = max(2, min(rng.choices((2, 3), (4, 1))[0] + more, MOST_CALLS))
    if variant == "same_api":
        api = _drawn(pool, "short variable", rng)
        varied = rng.choice(variable(api))
        again = (Intent(first + i, api, like=first, varied=varied) for i in range(1, count))
        return _call_group(Intent(first, api), *again, parallel=True)
    if not pool.pairs:
        raise NoPlan("no domain of the pool has two APIs that need at most three values each")
    group = {api.name: api for api in pool.shelves["short"][home or rng.choice(pool.pairs)]}
    chosen = rng.sample(sorted(group), min(count, len(group)))
    return _call_group(*(Intent(first + i, group[name]) for i, name in enumerate(chosen)), parallel=True)


def _chain(pool: Pool, length: int, rng: random.Random, first: int) -> list[Intent]:
    walk = pool.chain(length, rng)
    if walk is None:
        raise NoPlan(f"no {length} APIs of the pool feed each other (results of one, parameters of the next)")
    intents = [Intent(first, walk[0].source)]
    for i, edge in enumerate(walk):
        intents.append(Intent(first + i + 1, edge.target, link=Link(first + i, edge.field, edge.name)))
    return intents


def _recovery_group(variant: str, pool: Pool, rng: random.Random, first: int) -> PlannedGroup:
    if variant == "retry":
        return _call_group(Intent(first, _drawn(pool, "plain", rng), trouble="retry"))
    api = _drawn(pool, "correctable", rng)
    return _call_group(Intent(first, api, varied=rng.choice(corrections(api))[0], trouble="correct"))


def _mixed(turns: int, pool: Pool, rng: random.Random, difficulty: Difficulty) -> list[PlannedGroup] | None:
    """Exchanges of one domain with `turns` messages of the user in all, at least one of which refers to what was before.

    None where the walk comes to an end too early.
    """
    opening = _drawn(pool, "variable", rng)
    home = domain(opening)
    groups = [_call_group(Intent(0, opening))]
    intents = list(groups[0].intents)
    referred = False
    while (left := turns - sum(group.turns for group in groups)) > 0:
        kinds = {"again": 5, "follow": 4, "fresh": 3, "parallel": 1, "clarify": 2, "correct": 1, "chat": 1, "refuse": 1}
        for name, dial in (("follow", difficulty.depend), ("clarify", difficulty.spread)):
            kinds[name] = kinds[name] + 40 * dial if dial >= 0 else 0
        if left == 1 and not referred:
            kinds = {"follow": 1, "again": 1}
        elif left < (2 if referred else 3):  # these two take two messages of the user
            del kinds["clarify"], kinds["correct"]
        added = None
        while added is None and kinds:
            if not any(kinds.values()):
                break
            kind = rng.choices(list(kinds), list(kinds.values()))[0]
            del kinds[kind]
            added = _next_group(kind, intents, groups, home, pool, rng)
        if added is None:
            return None
        referred = referred or any(intent.like is not None or intent.link is not None for intent in added.intents)
        groups.append(added)
        intents += added.intents
    return groups


def _next_group(
    kind: str, intents: list[Intent], before: list[PlannedGroup], home: str, pool: Pool, rng: random.Random
) -> PlannedGroup | None:
    """One more group of a mixed dialog, None where the pool or the dialog so far does not allow it."""
    number = len(intents)
    done = [intent for group in before if group.kind == "calls" for intent in group.intents]
    match kind:
        case "again":
            # "The same for Lyon" is said of the last call, where that was one alone.
            if before[-1].kind not in ("calls", "small_talk"):
                return None
            last = next(group for group in reversed(before) if group.kind == "calls").intents
            free = [name for name in variable(last[-1].api) if last[-1].link is None or name != last[-1].link.name]
            if len(last) > 1 or not free:
                return None
            return _call_group(Intent(number, last[0].api, like=last[0].number, varied=rng.choice(free)))
        case "follow":
            used = {intent.api.name for intent in done}
            edges: list[tuple[Intent, Edge]] = [
                (intent, edge)
                for intent in done
                for edge in pool.edges.get(intent.api.id, ())
                if edge.target.name not in used and domain(edge.target) == home
            ]
            if not edges:
                return None
            intent, edge = rng.choice(edges)
            return _call_group(Intent(number, edge.target, link=Link(intent.number, edge.field, edge.name)))
        case "fresh" | "clarify" | "correct":
            api = pool.draw({"fresh": "plain", "clarify": "askable", "correct": "correctable"}[kind], rng, home)
            if api is None:
                return None
            if kind == "clarify":
                return _call_group(Intent(number, api, missing=rng.choice(askable(api))))
            if kind == "correct":
                return _call_group(Intent(number, api, varied=rng.choice(corrections(api))[0], trouble="correct"))
            return _call_group(Intent(number, api))
        case "parallel":
            return _parallel_group("several_apis", pool, rng, number, home=home) if home in pool.pairs else None
        case "chat":
            return PlannedGroup("small_talk", subject=rng.choice(THANKS)) if before[-1].kind == "calls" else None
        case _:
            api = pool.draw("plain", rng)
            if api is None or domain(api) == home:
                return None
            return PlannedGroup("no_function", (Intent(number, api),))


def candidates(plan: Plan, pool: Pool, config: GenerateConfig, rng: random.Random, more: int = 0) -> tuple[Api, ...]:
    """The candidate tools of a plan: what is to be called among distractors, all names different, in random order.

    Distractors are drawn by the weights of generate.distractors: `related` from the subtree of the first API,
    `near_duplicate` by the words of its name and description, `unrelated` from other domains.
    """
    count = min(max(rng.randint(config.min_tools, config.max_tools) + more, 1), MOST_TOOLS)
    called = [intent.api for group in plan.groups if group.kind == "calls" for intent in group.intents]
    refused = {domain(intent.api) for group in plan.groups if group.kind == "no_function" for intent in group.intents}
    chosen: dict[str, Api] = {}
    for api in called:
        if chosen.setdefault(api.name, api).id != api.id:
            raise NoPlan(f"two different APIs of the pool are named {api.name}")
    taken = {*chosen, *(intent.api.name for intent in plan.intents)}
    anchor = called[0] if called else None
    weights = dict(config.distractors) if anchor else {"unrelated": 1.0}
    near = pool.neighbours(anchor, rng) if anchor and weights.get("near_duplicate") else []
    tries = 0
    while len(chosen) < count and tries < 16 * count:
        tries += 1
        distractor = _distractor(rng.choices(list(weights), list(weights.values()))[0], anchor, near, pool, rng)
        if distractor is not None and distractor.name not in taken and domain(distractor) not in refused:
            chosen[distractor.name] = distractor
            taken.add(distractor.name)
    if not chosen:
        raise NoPlan("the pool has no API outside the wanted one's domain")
    tools = list(chosen.values())
    rng.shuffle(tools)
    return tuple(tools)


def _distractor(kind: str, anchor: Api | None, near: list[Api], pool: Pool, rng: random.Random) -> Api | None:
    if kind == "near_duplicate":
        return near.pop(0) if near else None
    if kind == "related" and anchor is not None:
        group = pool.topics.get(topic(anchor), ()) if rng.random() < 0.6 else pool.domains.get(domain(anchor), ())
        return rng.choice(group) if group else None
    api = rng.choice(pool.apis)
    return api if anchor is None or domain(api) != domain(anchor) else None


def feasible(kinds: Iterable[str], pool: Pool) -> set[str]:
    """Those of the kinds that the pool can carry."""
    return {kind for kind in kinds if carries(kind, pool)}
