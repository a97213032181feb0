"""Files of specifications: JSON, or YAML with JSON's types, as plain values.

Invariants: size, depth and what aliases multiply to are checked before anything walks the value; a key that is written twice
is an error that names it.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import yaml

from toolace_ray.errors import UserError
from toolace_ray.records.json import DECODER, LimitExceeded, check_text
from toolace_ray.schemas.validate import schema_depth

MAX_SPEC_CHARS = 32 << 20
MAX_SPEC_DEPTH = 200
MAX_YAML_NODES = 4_000_000  # once its aliases are written out


def read_spec(path: str) -> Any:
    """A JSON or YAML file in UTF-8 under size and depth limits. Raises UserError."""
    text = spec_text(path)
    try:
        tree = load_spec_json(text) if path.lower().endswith(".json") else _load_yaml(text)
    except (LimitExceeded, ValueError, LookupError, yaml.YAMLError, RecursionError) as error:
        first = " ".join(str(error).split())[:300]
        raise UserError(f"{path}: not a readable JSON or YAML document ({first})") from error
    if schema_depth(tree, MAX_SPEC_DEPTH) > MAX_SPEC_DEPTH:
        raise UserError(f"{path}: nested deeper than {MAX_SPEC_DEPTH}")
    return tree


def spec_text(path: str, most: int = MAX_SPEC_CHARS) -> str:
    """The text of a file in UTF-8 of `most` bytes at most, without its byte order mark. Raises UserError."""
    try:
        size = Path(path).stat().st_size
        if size > most:
            raise UserError(f"{path}: {size} bytes, the limit is {most}")
        data = Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot read it ({error.strerror})") from error
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UserError(f"{path}: the file is in UTF-16; save it as UTF-8")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text (byte {error.start}); save it as UTF-8") from error


def load_spec_json(text: str) -> Any:
    """JSON under the limits for whole documents."""
    check_text(text, max_chars=MAX_SPEC_CHARS, max_depth=MAX_SPEC_DEPTH)
    return DECODER.decode(text)


class _JsonTypesLoader(yaml.CSafeLoader):
    """YAML 1.2 with JSON's types alone: on, off, yes, no, dates and 12:30 stay text, keys are text as they are written."""

    yaml_implicit_resolvers = {}  # noqa: RUF012  (PyYAML's own way)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        if not isinstance(node, yaml.MappingNode):
            return super().construct_mapping(node, deep)  # which says what is wrong
        self.flatten_mapping(node)
        return {key.value: self.construct_object(value, deep=deep) for key, value in node.value}

    def construct_finite(self, node: Any) -> float:
        value: float = self.construct_yaml_float(node)
        if not math.isfinite(value):
            raise ValueError(f"line {node.start_mark.line + 1}: {node.value} is out of range")
        return value


for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)", "-+0123456789"),
    ("float", r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("merge", r"<<", "<"),
):
    _JsonTypesLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), list(_first))
_JsonTypesLoader.add_constructor("tag:yaml.org,2002:float", _JsonTypesLoader.construct_finite)
for _tag, _plain in (("set", "map"), ("omap", "seq"), ("pairs", "seq"), ("binary", "str"), ("timestamp", "str")):
    _JsonTypesLoader.add_constructor(
        f"tag:yaml.org,2002:{_tag}", yaml.CSafeLoader.yaml_constructors[f"tag:yaml.org,2002:{_plain}"]
    )


def _load_yaml(text: str) -> Any:
    _check_depth(text)
    loader = _JsonTypesLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        if _written_out(node, {}, 0) > MAX_YAML_NODES:  # and, before merges add to them, no key is there twice
            raise LimitExceeded(f"more than {MAX_YAML_NODES} values once its YAML aliases are written out")
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _check_depth(text: str) -> None:
    """Read the parser's events alone, which takes no recursion; that of composing nodes, in C, has no bound of its own."""
    loader, depth = _JsonTypesLoader(text), 0
    try:
        while loader.check_event():
            event = loader.get_event()
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_SPEC_DEPTH:
                raise LimitExceeded(f"nested deeper than {MAX_SPEC_DEPTH}")
    finally:
        loader.dispose()


def _written_out(node: Any, sizes: dict[int, int], depth: int) -> int:
    """How many values a YAML node holds once aliases are written out."""
    known = sizes.get(id(node))
    if known is not None:
        if not known:
            raise ValueError("a YAML alias stands inside what it refers to")
        return known
    if depth > MAX_SPEC_DEPTH:
        raise LimitExceeded(f"nested deeper than {MAX_SPEC_DEPTH}")
    sizes[id(node)] = 0
    size = 1
    if isinstance(node, yaml.MappingNode):
        _check_keys(node)
    if isinstance(node, yaml.CollectionNode):
        for item in node.value:
            for part in item if isinstance(item, tuple) else (item,):
                size += _written_out(part, sizes, depth + 1)
    sizes[id(node)] = size
    return size


def _check_keys(node: Any) -> None:
    written = set()
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise ValueError(f"line {key.start_mark.line + 1}: a key is a list or a mapping")
        if key.tag != "tag:yaml.org,2002:merge" and key.value in written:
            raise ValueError(f"line {key.start_mark.line + 1}: a mapping repeats the key {key.value!r}")
        written.add(key.value)
