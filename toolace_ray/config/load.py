"""Reading configuration files: YAML, overrides, and errors that name the key and the remedy."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from toolace_ray.config.tree import ROLES, Config
from toolace_ray.errors import UserError


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
        first, *others = error.errors()
        loc = _key(first["loc"])
        key = ".".join(map(str, loc)) or "the file"
        if first["type"] == "extra_forbidden":
            siblings = _siblings(loc[:-1])
            closest = difflib.get_close_matches(str(loc[-1]), siblings, 1, 0.5)
            hint = (
                f"did you mean {'.'.join(map(str, (*loc[:-1], closest[0])))}?"
                if closest
                else f"known: {', '.join(siblings)}"
            )
            raise UserError(f"{origin}: unknown key {key}; {hint}") from error
        # A value of several kinds fails as each of them.
        kinds = [first, *(other for other in others if _key(other["loc"]) == loc)]
        message = ", or: ".join(dict.fromkeys(kind["msg"].removeprefix("Value error, ") for kind in kinds))
        got = "" if isinstance(first["input"], dict | BaseModel) else f" (got {first['input']!r})"
        raise UserError(f"{origin}: {key}: {message}{got}") from error


def _key(loc: tuple[Any, ...]) -> tuple[Any, ...]:
    """The place of an error without pydantic's names for the kinds that a value may be of."""
    return tuple(part for part in loc if part not in ("str", "dict[str,float]", "constrained-int", "literal['auto']"))


def _siblings(loc: tuple[Any, ...]) -> list[str]:
    model: Any = Config
    for part in loc:
        if isinstance(model, type) and issubclass(model, BaseModel):
            annotation = model.model_fields[str(part)].annotation if str(part) in model.model_fields else None
            model = annotation
        elif get_origin(model) is dict:
            model = get_args(model)[1]
    if isinstance(model, type) and issubclass(model, BaseModel):
        return list(model.model_fields)
    return list(ROLES)
