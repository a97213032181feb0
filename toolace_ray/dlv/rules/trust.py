"""Rules on what must not be in a corpus, however right it is: secrets, people's data, benchmarks' questions."""

from __future__ import annotations

from collections.abc import Iterator

from toolace_ray.dlv.contamination import SHARE, benchmarks
from toolace_ray.dlv.registry import rule
from toolace_ray.dlv.view import Finding, View
from toolace_ray.schemas.walk import leaves
from toolace_ray.text.privacy import scan


def _texts(view: View) -> Iterator[tuple[int, str]]:
    for turn, message in enumerate(view.dialog.messages):
        yield turn, message.content
        if message.thought:
            yield turn, message.thought
        for call in message.tool_calls:
            yield from ((turn, value) for _, value in leaves(call.arguments) if isinstance(value, str))


def _private_data(view: View) -> list[tuple[int, bool, str]]:
    """(message index, whether it is a secret, what it is) of all that a scan finds."""
    return [
        (turn, item.secret, f"{item.kind} ({text[item.start : item.start + 4]}…)")
        for turn, text in _texts(view)
        for item in scan(text)
    ]


@rule("dialog")
def secrets(view: View) -> Iterator[Finding]:
    """No key, token or password of a known service stands in a message or an argument (detect-secrets' patterns)."""
    yield from ((turn, evidence) for turn, secret, evidence in view.once("privacy", _private_data) if secret)


@rule("dialog", "warn")
def personal_data(view: View) -> Iterator[Finding]:
    """No mail address, phone, card, IBAN or social security number stands in a message or an argument, but for reserved ones."""
    yield from ((turn, evidence) for turn, secret, evidence in view.once("privacy", _private_data) if not secret)


@rule("dialog")
def contamination(view: View, *, share: float = SHARE) -> Iterator[Finding]:
    """No request shares `share` of its word 8-grams with a benchmark of verify.decontaminate, and no tool is a benchmark's."""
    if not view.config.decontaminate:
        return
    index = benchmarks(view.config.decontaminate)
    for turn, message in view.of("user"):
        if (overlap := index.overlap(message.content)) >= share:
            yield turn, f"{overlap:.0%} of the request stands in a benchmark: {message.content[:80]!r}"
    for api in view.dialog.tools:
        if index.has(api):
            yield None, f"the tool {api.name} is a benchmark's"
