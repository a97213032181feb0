"""Contrastive pairs (method.md section 2): the request of an accepted dialog once more, where it can't be served.

Data in which every request is served teaches to call always, and data of refusals alone to refuse. A contrast shows the same
words without the tool that they need (the assistant declines), or the same intent without a required value (it asks).

Invariant: a contrast of a missing tool has its dialog's request to the letter, and no candidate of the called API's subtree or
with a word of its name, verbs aside.
"""

from __future__ import annotations

import dataclasses
import datetime
import random
from dataclasses import dataclass

import pyarrow as pa

from toolace_ray.config.tree import Config
from toolace_ray.engines.roles import TaskEngines
from toolace_ray.records.api import Api
from toolace_ray.records.dialog import Dialog, Message, ToolCall
from toolace_ray.records.kinds import CONTRAST_TOOL, CONTRAST_VALUE
from toolace_ray.sdg.blueprint import Gold, GoldCall
from toolace_ray.sdg.difficulty.measure import features
from toolace_ray.sdg.invented import Unfit
from toolace_ray.sdg.plans import Intent, Plan, PlannedGroup, Task
from toolace_ray.sdg.pool import VERBS, askable, words
from toolace_ray.sdg.rollout import decline, serve
from toolace_ray.sdg.speech import SET_BY_PROMPT, Scene
from toolace_ray.store.rows import CONTRAST
from toolace_ray.store.storage import RunStore

_SERVED = ("single", "parallel", "dependent")


@dataclass(frozen=True)
class Contrast:
    """The other half of a contrastive pair, to be played: its kind, the dialog it comes from, and the parameter that is to be missing."""

    kind: str
    base: Dialog
    missing: str | None = None


def possible(dialog: Dialog) -> list[Contrast]:
    """The contrasts that a dialog can have: one a kind at most."""
    if dialog.type not in _SERVED or dialog.kind == "single.error":
        return []
    contrasts = []
    if _unrelated_tools(dialog):
        contrasts.append(Contrast(CONTRAST_TOOL, dialog))
    calls = _tool_calls(dialog)
    system = next((message.content for message in dialog.messages if message.role == "system"), "")
    if len(calls) == 1 and SET_BY_PROMPT not in system:  # what the system prompt sets is not missing
        api = next(api for api in dialog.tools if api.name == calls[0].name)
        names = [name for name in askable(api) if name in calls[0].arguments]
        if names and len(calls[0].arguments) > 1:
            contrasts.append(Contrast(CONTRAST_VALUE, dialog, random.Random(f"contrast/{dialog.id}").choice(names)))
    return contrasts


def order(contrast: Contrast) -> float:
    """Where a contrast stands in the order of playing: a hash in [0, 1), so that contrasts of the first dialogs do not come first."""
    return random.Random(f"order/{contrast.kind}/{contrast.base.id}").random()


def _tool_calls(dialog: Dialog) -> list[ToolCall]:
    return [call for message in dialog.messages for call in message.tool_calls]


def _unrelated_tools(dialog: Dialog) -> tuple[Api, ...]:
    """The candidates of other subtrees than the called APIs', with no word of their names, verbs aside."""
    called = {call.name for call in _tool_calls(dialog)}
    called_words = frozenset().union(*(words(name) for name in called)) - VERBS
    called_subtrees = {tuple(api.domain[:2]) for api in dialog.tools if api.name in called}
    return tuple(
        api
        for api in dialog.tools
        if api.name not in called
        and not words(api.name) & called_words
        and tuple(api.domain[:2]) not in called_subtrees
    )


async def play_contrast(contrast: Contrast, task: Task, config: Config, engines: TaskEngines) -> Dialog:
    """Play a contrast. Raises Unfit, BadRequest, EngineError."""
    base = contrast.base
    rng = random.Random(f"contrast/{task.seed}")
    call = _tool_calls(base)[0]
    api = next(tool for tool in base.tools if tool.name == call.name)
    today = datetime.date.fromisoformat(base.today)
    plan = Plan(
        task, today, (), base.tools,
        style=str(base.meta.get("style", "plain")),
        persona=str(base.meta.get("persona", "a person")),
        language=str(base.meta.get("language", "English")),
    )  # fmt: skip
    system = [message for message in base.messages if message.role == "system"][:1]
    if contrast.kind == CONTRAST_TOOL:
        group = PlannedGroup("no_function", (Intent(0, api),))
        plan = dataclasses.replace(plan, groups=(group,), tools=_unrelated_tools(base))
        scene = Scene(plan, rng, config, engines)
        request = next(message.content for message in base.messages if message.role == "user")
        scene.messages = [*system, Message(role="user", content=request)]
        await decline(scene, request, True)
    else:
        if contrast.missing is None:
            raise Unfit("contrast", "nothing is to be missing")
        intent = Intent(0, api, missing=contrast.missing)
        group = PlannedGroup("calls", (intent,), ends="ask")
        scene = Scene(dataclasses.replace(plan, groups=(group,)), rng, config, engines)
        said = {name: value for name, value in call.arguments.items() if name != contrast.missing}
        request = await scene.requested(api, said, {contrast.missing: call.arguments[contrast.missing]})
        scene.messages = [*system, Message(role="user", content=request)]
        await serve(scene, group, [Gold(intent, (GoldCall(call, None),), said, {})], request, True)
    scene.meta["contrast_of"] = base.id
    dialog = scene.dialog()
    return dialog.model_copy(update={"meta": {**dialog.meta, "features": features(dialog)}})


class Contrasts:
    """The contrasts that are to be played, as Arrow tables: a dialog becomes an object when it is asked for."""

    def __init__(self, store: RunStore) -> None:
        tables = [store.table("contrasts", name) for name in store.files("contrasts")] or [CONTRAST.empty_table()]
        self._table = pa.concat_tables(tables)
        pairs = zip(self._table["kind"].to_pylist(), self._table["attempt"].to_pylist(), strict=True)
        self._rows = {pair: index for index, pair in enumerate(pairs)}

    def at(self, kind: str, attempt: int) -> Contrast:
        """The contrast of an attempt."""
        row = self._table.slice(self._rows[kind, attempt], 1).to_pylist()[0]
        return Contrast(kind, Dialog.model_validate_json(row["record"]), row["missing"])
