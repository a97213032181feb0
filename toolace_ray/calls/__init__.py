"""Call syntaxes: one module each, all with `render(calls) -> str` and `parse(text) -> Parsed | ParseFailure`.

Invariants: parse(render(calls)) gives the same names and arguments; a text that can't be parsed gives a ParseFailure
with its place, never an exception and never a silently shorter list.
"""

from __future__ import annotations

from types import ModuleType

from toolace_ray.calls import hermes, llama3, openai, pythonic, toolace
from toolace_ray.calls.result import Parsed, ParseFailure

SYNTAXES: dict[str, ModuleType] = {
    "openai": openai,
    "hermes": hermes,
    "pythonic": pythonic,
    "llama3": llama3,
    "toolace": toolace,
}

__all__ = ["SYNTAXES", "ParseFailure", "Parsed"]
