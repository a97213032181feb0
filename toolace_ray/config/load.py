"""Reading configuration files: YAML, overrides, and errors that name the key and the remedy."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from toolace_ray.config.tree import Config
from toolace_ray.errors import UserError

KEY = "[key]"  # what pydantic puts at the end of the place of a key that is wrong


def load(path: str | Path | None, overrides: tuple[str, ...] = ()) -> Config:
    """Read a YAML file (None: the defaults) and apply `a.b=value` overrides (values are YAML).

    Raises:
        UserError: no file, broken YAML, unknown or wrong key; the message names file, key and remedy.
    """
    try:
        text = Path(path).read_text(encoding="utf-8") if path is not None else ""
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise UserError(f"{path}: cannot read the configuration ({reason}); give a YAML file with --config") from error
    try:
        tree = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise UserError(f"{path}: broken YAML{where}: {getattr(error, 'problem', None) or error}") from error
    if tree is None:
        tree = {}
    if not isinstance(tree, dict):
        raise UserError(f"{path}: the file must hold keys and values, not a {type(tree).__name__}")
    for override in overrides:
        _override(tree, override)
    return parse(tree, str(path) if path is not None else "--set")


def _override(tree: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    if not equals or not key.strip():
        raise UserError(f"--set {override}: write it as key.subkey=value")
    node: Any = tree
    *parents, last = key.strip().split(".")
    for parent in parents:
        node = node.setdefault(parent, {})
        if not isinstance(node, dict):
            raise UserError(f"--set {override}: {parent} is a value, not a section")
    try:
        node[last] = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise UserError(f"--set {override}: the value is broken YAML") from error


def parse(tree: dict[str, Any], origin: str = "config") -> Config:
    """Validate a tree of plain values. Raises UserError."""
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        raise UserError(f"{origin}: {_explanation(error, tree)}") from error


def _explanation(error: ValidationError, tree: dict[str, Any]) -> str:
    """The first error: its key, what is wrong, and the remedy."""
    found = [(_place(item["loc"], tree), item) for item in error.errors()]
    outer = found[0][0]
    # A value of several kinds fails as each of them; what is wrong inside of it tells more than that it is no other kind.
    place = max((place for place, _ in found if place[: len(outer)] == outer), key=len)
    kinds = [item for other, item in found if other == place]
    first = kinds[0]
    key = ".".join(map(str, place)) or "the file"
    if first["type"] == "extra_forbidden" or (first["type"] == "literal_error" and first["loc"][-1] == KEY):
        siblings = _siblings(place[:-1])
        closest = difflib.get_close_matches(str(place[-1]), siblings, 1, 0.5)
        hint = (
            f"did you mean {'.'.join(map(str, (*place[:-1], closest[0])))}?"
            if closest
            else f"known: {', '.join(siblings)}"
        )
        return f"unknown key {key}; {hint}"
    message = ", or: ".join(dict.fromkeys(kind["msg"].removeprefix("Value error, ") for kind in kinds))
    got = "" if isinstance(first["input"], dict | BaseModel) else f" (got {first['input']!r})"
    return f"{key}: {message}{got}"


def _place(loc: tuple[Any, ...], tree: Any) -> tuple[Any, ...]:
    """The keys that lead to an error: its place without what pydantic puts there beside the keys that are in the tree."""
    place = []
    for part in loc:
        there = part in tree if isinstance(tree, dict) else isinstance(tree, list) and part in range(len(tree))
        if there:
            place.append(part)
            tree = tree[part]
    return tuple(place)


def _siblings(place: tuple[Any, ...]) -> list[str]:
    """The keys that are known at a place."""
    model: Any = Config
    for part in place:
        model = model.model_fields[part].annotation if _is_section(model) else get_args(model)[1]
    return list(model.model_fields if _is_section(model) else get_args(get_args(model)[0]))


def _is_section(model: Any) -> bool:
    return isinstance(model, type) and issubclass(model, BaseModel)
