"""The rule layer: the rules that a configuration switches on, run over a dialog.

Invariant: a rule never raises on any dialog that the schema admits; the layer's limits come first (`too_large`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, get_args

from toolace_ray.config.tree import RuleSetting, Severity, VerifyConfig
from toolace_ray.dlv.contamination import benchmarks
from toolace_ray.dlv.registry import RULES, Aspect, Rule, load_modules
from toolace_ray.dlv.rules import answers, corrections, definition, origins, structure, swaps, texts, trust  # noqa: F401  (they register themselves)
from toolace_ray.dlv.view import Note, View
from toolace_ray.errors import UserError
from toolace_ray.records.dialog import Dialog
from toolace_ray.records.verdict import Verdict

MAX_DIALOG_CHARS = 1 << 20
MAX_MESSAGE_CHARS = 1 << 16  # rules are not run on longer ones; a system prompt may be four times as long


def registered() -> list[Rule]:
    """All rules by aspect, in the order of the paper's Table 4."""
    order = get_args(Aspect)
    return sorted(RULES.values(), key=lambda rule: order.index(rule.aspect))


class Layer:
    """The rules that a configuration switches on, with their settings. Raises UserError for one that can't be."""

    def __init__(self, config: VerifyConfig) -> None:
        load_modules(config.modules)
        rules = registered()
        if unknown := sorted(set(config.rules) - {rule.id for rule in rules}):
            raise UserError(f"verify.rules: no rule is named {', '.join(unknown)}; see `toolace check --rules`")
        if config.decontaminate:
            benchmarks(config.decontaminate)  # says now what can't be read
        self._config = config
        self.rules: list[tuple[Rule, Severity, dict[str, Any]]] = []
        for rule in rules:
            severity, settings = _setting(rule, config.rules.get(rule.id, rule.severity))
            if severity is not None:
                self.rules.append((rule, severity, settings))
        self._trainable = next((severity for rule, severity, _ in self.rules if rule.id == "trainable"), None)

    def run(self, dialog: Dialog, notes: tuple[Note, ...] = ()) -> list[Verdict]:
        """All findings on one dialog; empty means that it passes. `notes` are its reader's."""
        if reason := too_large(dialog):
            return [Verdict(stage="rules", rule="size", evidence=reason)]
        view = View(dialog, self._config, notes)
        verdicts = []
        for rule, severity, settings in self.rules:
            try:
                verdicts += [
                    Verdict(stage="rules", rule=rule.id, severity=severity, turn=turn, evidence=evidence[:300])
                    for turn, evidence in rule.check(view, **settings)
                ]
            except Exception as error:  # must not stop the others, and has the severity that its findings have
                evidence = f"the rule failed: {error!r}"[:300]
                verdicts.append(Verdict(stage="rules", rule=rule.id, severity=severity, evidence=evidence))
        if self._trainable is not None and any(verdict.severity == "mask" for verdict in verdicts):
            turns = [message for message in masked(dialog, verdicts).messages if message.role == "assistant"]
            if turns and not any(message.train for message in turns):
                masking = sorted({verdict.rule for verdict in verdicts if verdict.severity == "mask"})
                reason = f"every turn of the assistant is masked ({', '.join(masking)})"
                verdicts.append(Verdict(stage="rules", rule="trainable", severity=self._trainable, evidence=reason))
        return verdicts


def _setting(rule: Rule, setting: RuleSetting) -> tuple[Severity | None, dict[str, Any]]:
    """The severity (None where it is off) and the settings of a rule, as configured."""
    configured: dict[str, Any] = dict(setting) if isinstance(setting, dict) else {"severity": setting}
    severity = configured.pop("severity", rule.severity)
    if severity is False:  # what YAML makes of a bare off
        severity = "off"
    if severity not in (*get_args(Severity), "off"):
        allowed = ", ".join((*get_args(Severity), "off"))
        raise UserError(f"verify.rules.{rule.id}: {severity!r} is no severity; it is one of {allowed}")
    for key, value in configured.items():
        if key not in rule.settings:
            allowed_keys = ", ".join(rule.settings) or "it has none"
            raise UserError(f"verify.rules.{rule.id}.{key}: there is no such setting ({allowed_keys})")
        default = rule.settings[key]
        kinds = (int, float) if isinstance(default, float) else (type(default),)
        if not isinstance(value, kinds) or isinstance(value, bool) != isinstance(default, bool):
            raise UserError(f"verify.rules.{rule.id}.{key}: {value!r} is no {type(default).__name__}")
    return (None if severity == "off" else severity), configured


_LAYERS: dict[int, tuple[VerifyConfig, Layer]] = {}


def layer(config: VerifyConfig) -> Layer:
    """The configuration's rules, made once a process. Raises UserError."""
    cached = _LAYERS.get(id(config))
    if cached is None or cached[0] is not config:
        if len(_LAYERS) > 64:
            _LAYERS.clear()
        cached = _LAYERS[id(config)] = (config, Layer(config))
    return cached[1]


def too_large(dialog: Dialog) -> str | None:
    """Why a dialog is too large to be looked at, else None."""
    for turn, message in enumerate(dialog.messages):
        limit = MAX_MESSAGE_CHARS * (4 if message.role == "system" else 1)
        if len(message.content) > limit:
            return f"message {turn} has {len(message.content)} characters, the limit is {limit}"
    size = sum(len(message.content) for message in dialog.messages)
    return f"{size} characters of messages, the limit is {MAX_DIALOG_CHARS}" if size > MAX_DIALOG_CHARS else None


def run_rules(dialog: Dialog, config: VerifyConfig, notes: tuple[Note, ...] = ()) -> list[Verdict]:
    """All findings of the rule layer on one dialog; empty means that it passes. `notes` are its reader's."""
    return layer(config).run(dialog, notes)


def rejects(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """The verdicts that reject: those that say so, and a mask on the dialog as a whole, where there is no turn to mask."""
    return [
        verdict
        for verdict in verdicts
        if verdict.severity == "reject" or (verdict.severity == "mask" and verdict.turn is None)
    ]


def masked(dialog: Dialog, verdicts: Iterable[Verdict]) -> Dialog:
    """The dialog with `train` false in each assistant turn that a verdict of severity "mask" names; where it names another role's
    turn, in the next assistant turn after it."""
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
