"""The rule layer: the registry, and what a rule sees.

A rule is a pure function from a View to findings (message index or None, evidence). Its docstring says what it holds
and where it comes from; `aspect` names the row of the paper's Table 4. All rules of the package are registered when
`toolace_ray.dlv.checks` is imported.

Invariant: a rule never raises on any dialog that the schema admits; the layer's limits come first (`size`).
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from toolace_ray.config import VerifyConfig
from toolace_ray.dlv.provenance import trace
from toolace_ray.schema import MAX_DEPTH, Api, Dialog, Message, Provenance, ToolCall, Verdict
from toolace_ray.validation import schema_depth

Aspect = Literal["definition", "executability", "dialog", "consistency"]
Finding = tuple[int | None, str]
MAX_DIALOG_CHARS = 1 << 20


@dataclass(frozen=True)
class View:
    """A dialog with what several rules need, worked out once."""

    dialog: Dialog
    config: VerifyConfig = field(default_factory=VerifyConfig)

    @cached_property
    def apis(self) -> dict[str, Api]:
        """Tool name -> API."""
        return {api.name: api for api in self.dialog.tools}

    @cached_property
    def calls(self) -> list[tuple[int, ToolCall]]:
        """(message index, call) of every call, in order."""
        return [(index, call) for index, message in enumerate(self.dialog.messages) for call in message.tool_calls]

    @cached_property
    def provenance(self) -> tuple[Provenance, ...]:
        """Where every argument value comes from."""
        return trace(self.dialog)

    @property
    def english(self) -> bool:
        """False for dialogs that are marked as being in another language: rules on English words do not apply."""
        return self.dialog.meta.get("language", "English") == "English"

    @cached_property
    def today(self) -> datetime.date:
        """The dialog's date."""
        return datetime.date.fromisoformat(self.dialog.today)

    def of(self, *roles: str) -> Iterator[tuple[int, Message]]:
        """(index, message) of the messages of some roles."""
        return ((i, message) for i, message in enumerate(self.dialog.messages) if message.role in roles)

    @cached_property
    def results(self) -> dict[int, Any]:
        """Message index -> parsed content of a tool result; absent where it is no JSON."""
        parsed: dict[int, Any] = {}
        for index, message in self.of("tool"):
            try:
                parsed[index] = json.loads(message.content)
            except (ValueError, RecursionError):
                continue
            if schema_depth(parsed[index]) > MAX_DEPTH:
                del parsed[index]  # results_valid tells
        return parsed


Check = Callable[[View], Iterable[Finding]]


@dataclass(frozen=True)
class Rule:
    """A registered rule."""

    id: str
    aspect: Aspect
    severity: Literal["reject", "mask", "warn"]
    check: Check

    @property
    def doc(self) -> str:
        """The first line of what it holds."""
        return (self.check.__doc__ or "").strip().splitlines()[0]


RULES: dict[str, Rule] = {}


def rule(aspect: Aspect, severity: Literal["reject", "mask", "warn"] = "reject") -> Callable[[Check], Check]:
    """Register a check under its function's name."""

    def register(check: Check) -> Check:
        RULES[check.__name__] = Rule(check.__name__, aspect, severity, check)
        return check

    return register


def too_large(dialog: Dialog) -> str | None:
    """Why a dialog is too large to be looked at, else None."""
    size = sum(len(message.content) for message in dialog.messages)
    return f"{size} characters of messages, the limit is {MAX_DIALOG_CHARS}" if size > MAX_DIALOG_CHARS else None


def run_rules(dialog: Dialog, config: VerifyConfig) -> list[Verdict]:
    """All findings of the rule layer on one dialog; empty means that it passes."""
    from toolace_ray.dlv import checks  # registers the rules; it imports this module

    if reason := too_large(dialog):
        return [Verdict(stage="rules", rule="size", evidence=reason)]
    view = View(dialog, config)
    verdicts = []
    for found in checks.registered():
        if found.id in config.disabled_rules:
            continue
        try:
            verdicts += [
                Verdict(stage="rules", rule=found.id, severity=found.severity, turn=turn, evidence=evidence[:300])
                for turn, evidence in found.check(view)
            ]
        except Exception as error:  # hostile input that a rule can't bear must not stop the others, nor pass
            verdicts.append(Verdict(stage="rules", rule=found.id, evidence=f"the rule failed: {error!r}"[:300]))
    return verdicts


def rejects(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """The verdicts that reject."""
    return [verdict for verdict in verdicts if verdict.severity == "reject"]
