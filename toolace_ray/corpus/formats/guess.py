"""What format rows are in, going by the first of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

from toolace_ray.corpus.formats.reading import MAX_CHARS
from toolace_ray.records.json import load_json

ROWS = 50  # that are looked at
_BRACKETED = re.compile(r"\s*\[[^\[\]()\"']{1,80}\(")


def guess(texts: Iterable[str]) -> str | None:
    """The format of rows, each as JSON: that of most rows with calls, else that of their turns; None where no row tells."""
    with_calls: Counter[str] = Counter()
    without: Counter[str] = Counter()
    for text in texts:
        try:
            row = load_json(text, max_chars=MAX_CHARS, unique=False)
        except (ValueError, RecursionError):
            continue
        found, sure = _guess_row(row) if isinstance(row, dict) else (None, False)
        if found:
            (with_calls if sure else without)[found] += 1
    for counts in (with_calls, without):
        if counts:
            return counts.most_common(1)[0][0]
    return None


def _guess_row(row: dict[str, Any]) -> tuple[str | None, bool]:
    """A row's format, and whether its calls tell it."""
    if isinstance(row.get("query", row.get("question")), str) and ("answers" in row or "answer" in row):
        return "xlam", True
    for key in ("conversations", "conversation", "messages"):
        turns = row.get(key)
        if isinstance(turns, str) and turns.lstrip().startswith("["):
            try:
                turns = load_json(turns, max_chars=MAX_CHARS)
            except (ValueError, RecursionError):
                continue
        if isinstance(turns, list) and turns and all(isinstance(item, dict) for item in turns):
            return _guess_turns(turns)
    return None, False


def _guess_turns(turns: list[dict[str, Any]]) -> tuple[str | None, bool]:
    own = any("from" in item for item in turns)
    for item in turns:
        role, text = item.get("from", item.get("role")), item.get("value", item.get("content"))
        if item.get("tool_calls") or isinstance(item.get("function_call"), dict):
            return ("sharegpt" if own else "openai"), True
        if role in ("function_call", "tool_call"):
            return "sharegpt", True
        if isinstance(text, list) and any(isinstance(part, dict) and part.get("type") == "tool_use" for part in text):
            return "openai", True
        if role in ("gpt", "assistant", "model") and isinstance(text, str):
            if "<tool_call>" in text:
                return "hermes", True
            if _BRACKETED.match(text):
                return "toolace", True
    if own:
        return "sharegpt", False
    return ("openai" if any("role" in item for item in turns) else None), False
