"""Is a dialog one of a benchmark's questions? Word n-grams of what users say, and the shapes of tools."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from toolace_ray.errors import UserError
from toolace_ray.records.api import Api

SIZE = 8  # words of an n-gram
SHARE = 0.5  # of a request's n-grams, from which it is a benchmark's
_KEYS = {"question", "query", "prompt", "instruction", "content", "value", "text", "input", "user"}
_WORDS = re.compile(r"\w+")
_MAX_BYTES = 256 << 20


@dataclass
class Benchmarks:
    """The index: hashes of n-grams, of short questions as a whole, and of tools by name and parameters."""

    grams: set[int] = field(default_factory=set)
    whole: set[int] = field(default_factory=set)
    tools: set[tuple[str, frozenset[str]]] = field(default_factory=set)

    def add_text(self, text: str) -> None:
        """Add a question: its n-grams, or all its words where they are fewer than SIZE; one of fewer than 3 words is left out."""
        words = _WORDS.findall(text.lower())
        if len(words) >= SIZE:
            self.grams.update(_grams(words))
        elif len(words) >= 3:
            self.whole.add(hash(tuple(words)))

    def overlap(self, text: str) -> float:
        """The share of a request's n-grams that a benchmark has; of a short one 1 where a benchmark asks the same, else 0."""
        words = _WORDS.findall(text.lower())
        if len(words) < SIZE:
            return float(hash(tuple(words)) in self.whole)
        grams = list(_grams(words))
        return sum(gram in self.grams for gram in grams) / len(grams)

    def has(self, api: Api) -> bool:
        """True for a tool of a benchmark: the same name with the same parameters."""
        return bool(api.properties) and (_letters(api.name), frozenset(api.properties)) in self.tools


def _grams(words: list[str]) -> Iterator[int]:
    return (hash(tuple(words[i : i + SIZE])) for i in range(len(words) - SIZE + 1))


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


@lru_cache(maxsize=4)
def benchmarks(names: tuple[str, ...]) -> Benchmarks:
    """The index of files, folders and packages. Raises UserError for one that can't be read."""
    index = Benchmarks()
    for name in names:
        for path in _files(name):
            try:
                if path.stat().st_size > _MAX_BYTES:
                    raise UserError(f"verify.decontaminate: {path}: larger than {_MAX_BYTES >> 20} MiB; split it")
                text = path.read_text(encoding="utf-8-sig", errors="replace")
            except OSError as error:
                raise UserError(f"verify.decontaminate: {path}: cannot read it ({error.strerror or error})") from error
            for row in _rows(text):
                _add_value(row, index, 0)
    return index


def _files(name: str) -> list[Path]:
    if name == "bfcl":
        spec = importlib.util.find_spec("bfcl_eval")
        if spec is None or not spec.submodule_search_locations:
            raise UserError("verify.decontaminate: bfcl needs the package bfcl-eval: pip install --no-deps bfcl-eval")
        return sorted(Path(spec.submodule_search_locations[0], "data").rglob("*.json"))
    path = Path(name)
    if path.is_dir():
        return sorted(item for item in path.rglob("*") if item.suffix in (".json", ".jsonl"))
    if not path.is_file():
        raise UserError(
            f"verify.decontaminate: {name}: there is no such file; give JSON, JSONL, a folder of them, or bfcl"
        )
    return [path]


def _rows(text: str) -> Iterable[Any]:
    try:
        return [json.loads(text)]
    except (ValueError, RecursionError):
        return _lines(text)


def _lines(text: str) -> Iterator[Any]:
    for line in text.splitlines():
        try:
            yield json.loads(line)
        except (ValueError, RecursionError):
            continue  # a file of a package may hold other things beside its rows


def _add_value(value: Any, index: Benchmarks, depth: int, key: str = "") -> None:
    """Every text under a name that questions have, and every tool, wherever they stand in a row."""
    if depth > 16:
        return
    if isinstance(value, str):
        if key in _KEYS:
            index.add_text(value)
        elif key in ("tools", "functions") and value.lstrip().startswith("["):
            for row in _rows(value):
                _add_value(row, index, depth + 1)
        return
    if isinstance(value, list):
        for item in value:
            _add_value(item, index, depth + 1, key)
    elif isinstance(value, dict):
        name, schema = value.get("name"), value.get("parameters")
        if isinstance(name, str) and isinstance(schema, dict):
            properties = schema.get("properties", schema)
            if isinstance(properties, dict) and properties:
                index.tools.add((_letters(name), frozenset(map(str, properties))))
            return
        speaker = value.get("from") if "value" in value and "role" not in value else value.get("role")
        if speaker not in (None, "user", "human"):
            return
        for inner, item in value.items():
            _add_value(item, index, depth + 1, inner)
