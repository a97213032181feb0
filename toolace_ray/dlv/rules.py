"""The rule layer: the registry, and what a rule sees.

A rule is a pure function from a View (and its own settings, as keywords with defaults) to findings (message index or None,
evidence). Its docstring says what it holds and where it comes from; `aspect` names the row of the paper's Table 4. The
package's rules are registered when `toolace_ray.dlv.checks` is imported, a user's when `verify.modules` names them.

Invariant: a rule never raises on any dialog that the schema admits; the layer's limits come first (`too_large`).
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

from toolace_ray.config import RuleSetting, Severity, VerifyConfig
from toolace_ray.dlv.contamination import benchmarks
from toolace_ray.dlv.dates import Day, day
from toolace_ray.dlv.provenance import trace
from toolace_ray.errors import UserError
from toolace_ray.schema import MAX_DEPTH, TWINS, Api, Dialog, Message, Provenance, ToolCall, Verdict
from toolace_ray.validation import schema_depth

Aspect = Literal["definition", "executability", "dialog", "consistency"]
Finding = tuple[int | None, str]
MAX_DIALOG_CHARS = 1 << 20
MAX_MESSAGE_CHARS = 1 << 16  # rules are not run on longer ones; a system prompt may be four times as long
_OURS = "toolace_ray."


@dataclass(frozen=True)
class View:
    """A dialog with what several rules need, worked out once."""

    dialog: Dialog
    config: VerifyConfig = field(default_factory=VerifyConfig)
    _of: dict[tuple[str, ...], list[tuple[int, Message]]] = field(default_factory=dict, repr=False)
    _once: dict[str, Any] = field(default_factory=dict, repr=False)

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
    def planned(self) -> bool:
        """True for dialogs that were made to a plan, which `meta` tells of; false for a stranger's."""
        return not self.dialog.imported

    @property
    def twin(self) -> bool:
        """True for dialogs that were made from others."""
        return self.dialog.kind in TWINS

    @property
    def english(self) -> bool:
        """False for dialogs that are marked as being in another language: rules on English words do not apply."""
        return self.dialog.meta.get("language", "English") == "English"

    @cached_property
    def today(self) -> Day:
        """The dialog's date; None where nobody tells it."""
        return day(self.dialog.today)

    def once(self, name: str, make: Callable[[View], Any]) -> Any:
        """What `make` gives of this view, made at the first request for `name`."""
        if name not in self._once:
            self._once[name] = make(self)
        return self._once[name]

    def of(self, *roles: str) -> list[tuple[int, Message]]:
        """(index, message) of the messages of some roles."""
        if roles not in self._of:
            self._of[roles] = [(i, message) for i, message in enumerate(self.dialog.messages) if message.role in roles]
        return self._of[roles]

    def read(self, rule: str) -> Iterator[Finding]:
        """What the reader of a stranger's row saw and left to a rule to tell."""
        for name, turn, evidence in self.dialog.meta.get("found") or ():
            if name == rule:
                yield turn, evidence

    @cached_property
    def system(self) -> str:
        """What the system prompt says."""
        return "\n".join(message.content for _, message in self.of("system"))

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


Check = Callable[..., Iterable[Finding]]


@dataclass(frozen=True)
class Rule:
    """A registered rule. `settings` are the check's keywords with their defaults."""

    id: str
    aspect: Aspect
    severity: Severity
    check: Check
    settings: dict[str, Any]

    @property
    def doc(self) -> str:
        """The first line of what it holds."""
        return (self.check.__doc__ or "").strip().splitlines()[0]


RULES: dict[str, Rule] = {}


def rule(aspect: Aspect, severity: Severity = "reject") -> Callable[[Check], Check]:
    """Register a check under its function's name; its keyword-only parameters are settings of verify.rules.<name>.

    Raises:
        UserError: a rule of that name is there already, or the check has no docstring.
    """
    if aspect not in get_args(Aspect) or severity not in get_args(Severity):
        raise UserError(f"rule({aspect!r}, {severity!r}): an aspect is one of {', '.join(get_args(Aspect))}; "
                        f"a severity one of {', '.join(get_args(Severity))}")  # fmt: skip

    def register(check: Check) -> Check:
        name = check.__name__
        there = RULES.get(name)
        if there is not None and (there.check.__module__, there.check.__qualname__) != (
            check.__module__,
            check.__qualname__,
        ):
            raise UserError(f"verify.modules: {check.__module__}: a rule is named {name} already; choose another name")
        if not (check.__doc__ or "").strip():
            raise UserError(
                f"verify.modules: {check.__module__}: the rule {name} needs a docstring that says what it holds"
            )
        settings = {
            key: parameter.default
            for key, parameter in inspect.signature(check).parameters.items()
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY
        }
        RULES[name] = Rule(name, aspect, severity, check, settings)
        return check

    return register


def load_modules(names: Iterable[str]) -> None:
    """Import the users' rules: files (a path that ends in .py) or modules (a dotted name). Raises UserError."""
    for name in names:
        try:
            if name.endswith(".py"):
                path = Path(name).resolve()
                known = f"toolace_rules_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
                if known in sys.modules:
                    continue
                spec = importlib.util.spec_from_file_location(known, path)
                if spec is None or spec.loader is None:
                    raise ImportError("no Python module")
                module = importlib.util.module_from_spec(spec)
                sys.modules[known] = module
                try:
                    spec.loader.exec_module(module)
                except BaseException:
                    del sys.modules[known]
                    raise
            else:
                importlib.import_module(name)
        except UserError:
            raise
        except Exception as error:  # whatever a user's module does while it is imported
            raise UserError(f"verify.modules: {name}: cannot be imported ({type(error).__name__}: {error})") from error


class Layer:
    """The rules that a configuration switches on, with their settings. Raises UserError for one that can't be."""

    def __init__(self, config: VerifyConfig) -> None:
        from toolace_ray.dlv import checks  # registers the rules; it imports this module

        load_modules(config.modules)
        rules = checks.registered()
        if unknown := sorted(set(config.rules) - {rule.id for rule in rules}):
            raise UserError(f"verify.rules: no rule is named {', '.join(unknown)}; see `toolace check --rules`")
        if config.decontaminate:
            benchmarks(config.decontaminate)  # says now what can't be read
        self._config = config
        self.rules: list[tuple[Rule, Severity, dict[str, Any]]] = []
        for found in rules:
            severity, settings = _setting(found, config.rules.get(found.id, found.severity))
            if severity is not None:
                self.rules.append((found, severity, settings))

    def run(self, dialog: Dialog) -> list[Verdict]:
        """All findings on one dialog; empty means that it passes."""
        if reason := too_large(dialog):
            return [Verdict(stage="rules", rule="size", evidence=reason)]
        view = View(dialog, self._config)
        verdicts = []
        for found, severity, settings in self.rules:
            try:
                verdicts += [
                    Verdict(stage="rules", rule=found.id, severity=severity, turn=turn, evidence=evidence[:300])
                    for turn, evidence in found.check(view, **settings)
                ]
            except Exception as error:  # hostile input that a rule can't bear must not stop the others, nor pass
                verdicts.append(Verdict(stage="rules", rule=found.id, evidence=f"the rule failed: {error!r}"[:300]))
        if any(verdict.severity == "mask" for verdict in verdicts):
            left = [message for message in masked(dialog, verdicts).messages if message.role == "assistant"]
            if left and not any(message.train for message in left):
                told = sorted({verdict.rule for verdict in verdicts if verdict.severity == "mask"})
                reason = f"every turn of the assistant is masked ({', '.join(told)})"
                verdicts.append(Verdict(stage="rules", rule="trainable", evidence=reason))
        return verdicts


def _setting(found: Rule, setting: RuleSetting) -> tuple[Severity | None, dict[str, Any]]:
    """The severity (None where it is off) and the settings of a rule, as configured."""
    given: dict[str, Any] = dict(setting) if isinstance(setting, dict) else {"severity": setting}
    severity = given.pop("severity", found.severity)
    if severity is False:  # what YAML makes of a bare off
        severity = "off"
    if severity not in (*get_args(Severity), "off"):
        allowed = ", ".join((*get_args(Severity), "off"))
        raise UserError(f"verify.rules.{found.id}: {severity!r} is no severity; it is one of {allowed}")
    for key, value in given.items():
        if key not in found.settings:
            there = ", ".join(found.settings) or "it has none"
            raise UserError(f"verify.rules.{found.id}.{key}: there is no such setting ({there})")
        default = found.settings[key]
        kinds = (int, float) if isinstance(default, float) else (type(default),)
        if not isinstance(value, kinds) or isinstance(value, bool) != isinstance(default, bool):
            raise UserError(f"verify.rules.{found.id}.{key}: {value!r} is no {type(default).__name__}")
    return (None if severity == "off" else severity), given


_LAYERS: dict[int, tuple[VerifyConfig, Layer]] = {}


def layer(config: VerifyConfig) -> Layer:
    """The configuration's rules, made once a process. Raises UserError."""
    kept = _LAYERS.get(id(config))
    if kept is None or kept[0] is not config:
        if len(_LAYERS) > 64:
            _LAYERS.clear()
        kept = _LAYERS[id(config)] = (config, Layer(config))
    return kept[1]


def too_large(dialog: Dialog) -> str | None:
    """Why a dialog is too large to be looked at, else None."""
    for turn, message in enumerate(dialog.messages):
        limit = MAX_MESSAGE_CHARS * (4 if message.role == "system" else 1)
        if len(message.content) > limit:
            return f"message {turn} has {len(message.content)} characters, the limit is {limit}"
    size = sum(len(message.content) for message in dialog.messages)
    return f"{size} characters of messages, the limit is {MAX_DIALOG_CHARS}" if size > MAX_DIALOG_CHARS else None


def run_rules(dialog: Dialog, config: VerifyConfig) -> list[Verdict]:
    """All findings of the rule layer on one dialog; empty means that it passes."""
    return layer(config).run(dialog)


def rejects(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """The verdicts that reject: those that say so, and a mask on the dialog as a whole, where there is no turn to mask."""
    return [
        verdict
        for verdict in verdicts
        if verdict.severity == "reject" or (verdict.severity == "mask" and verdict.turn is None)
    ]


def masked(dialog: Dialog, verdicts: Iterable[Verdict]) -> Dialog:
    """The dialog with the turns kept from the loss that a verdict masks; a fault of another's turn masks what answers it."""
    turns = set()
    for verdict in verdicts:
        if verdict.severity == "mask" and verdict.turn is not None:
            later = range(verdict.turn, len(dialog.messages))
            turns |= set([turn for turn in later if dialog.messages[turn].role == "assistant"][:1])
    if not turns:
        return dialog
    messages = [
        message.model_copy(update={"train": False}) if turn in turns else message
        for turn, message in enumerate(dialog.messages)
    ]
    return dialog.model_copy(update={"messages": tuple(messages)})
