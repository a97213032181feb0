"""Prompts: one Jinja file per agent or expert, versioned by the hash of its content.

A file is a chat: lines `### system`, `### user` and `### assistant` begin its messages. The file is cut into messages
before anything is filled in, so no value can open a message of its own. What never changes comes first, so that
engines serve it from their prefix cache.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jinja2

from toolace_ray.records.json import digest

LEAK = 6  # words in a row that nobody writes twice by chance
_HEADER = re.compile(r"^### (system|user|assistant)\n", re.MULTILINE)
_ENVIRONMENT = jinja2.Environment(
    undefined=jinja2.StrictUndefined, autoescape=False, trim_blocks=True, lstrip_blocks=True
)
_ENVIRONMENT.filters["json"] = lambda value: json.dumps(value, ensure_ascii=False)


@dataclass(frozen=True)
class Prompt:
    """A prompt ready to fill in. `version` is 12 hexadecimal digits of its content's hash."""

    name: str
    version: str
    messages: tuple[tuple[str, jinja2.Template], ...]
    example_runs: frozenset[str] = frozenset()

    def shares(self, text: str) -> str | None:
        """The first LEAK words in a row that a text shares with the answers this prompt shows as examples; else None."""
        return next((run for run in _runs(text) if run in self.example_runs), None)

    def render(self, **values: Any) -> list[dict[str, str]]:
        """The chat messages; raises jinja2.UndefinedError for a value that is not given."""
        return [{"role": role, "content": template.render(values).strip()} for role, template in self.messages]


def _runs(text: str) -> list[str]:
    words = re.findall(r"[^\W_]+", text.lower())
    return [" ".join(words[at : at + LEAK]) for at in range(len(words) - LEAK + 1)]


@cache
def prompt(name: str) -> Prompt:
    """The prompt in `<name>.jinja` beside this file."""
    source = Path(__file__).with_name(f"{name}.jinja").read_text(encoding="utf-8")
    parts = _HEADER.split(source)[1:]
    messages = tuple((role, _ENVIRONMENT.from_string(text)) for role, text in zip(parts[::2], parts[1::2], strict=True))
    answers = [text for role, text in zip(parts[::2], parts[1::2], strict=True) if role == "assistant"]
    example_runs = frozenset(run for text in answers for run in _runs(text))
    return Prompt(name, digest(source, length=12), messages, example_runs)


@cache
def versions() -> dict[str, str]:
    """Name -> version of every prompt of the package."""
    return {path.stem: prompt(path.stem).version for path in sorted(Path(__file__).parent.glob("*.jinja"))}
