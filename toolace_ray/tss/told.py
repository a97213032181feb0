"""What reading a specification left out, translated or made up: the notes of an API's lineage, and descriptions by code."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

MOST_NAMED = 12


class Derived(str):
    """A description that code made; one that a document gives is a plain str."""

    __slots__ = ()


@dataclass
class Told:
    """Kind of change -> the places where it was made, in the order in which they were met."""

    places: dict[str, dict[str, None]] = field(default_factory=dict)

    def add(self, what: str, place: str = "") -> None:
        """Note a change, at a place such as `rooms[].name`."""
        self.places.setdefault(what, {})[place] = None

    def take(self, other: Told, prefix: str = "") -> None:
        """Note all that was noted there, each kind under a prefix."""
        for what, places in other.places.items():
            self.places.setdefault(prefix + what, {}).update(places)

    def notes(self) -> tuple[str, ...]:
        """One text for each kind of change, with the first MOST_NAMED of its places."""
        texts = []
        for what, places in self.places.items():
            named = [place for place in places if place]
            more = f" and {len(named) - MOST_NAMED} more" if len(named) > MOST_NAMED else ""
            texts.append(f"{what}: {', '.join(named[:MOST_NAMED])}{more}" if named else what)
        return tuple(texts)


def words_of(name: str) -> str:
    """An identifier as words: `listUser_ids` is "list user ids"."""
    text = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name)
    words = re.findall(r"[^\W_]+", text)
    return " ".join(word if word.isupper() and len(word) > 1 else word.lower() for word in words) or name


def letters_of(text: str) -> str:
    """A text without what is neither letter nor digit, in lower case."""
    return re.sub(r"[\W_]+", "", text).lower()


def kind_of_value(value: Any) -> str:
    """What a JSON value is, as people say it: "a text", "an object"."""
    names = {str: "a text", bool: "a truth value", list: "a list", dict: "an object", type(None): "null"}
    return names.get(type(value), "a number")


def describe(name: str, schema: Any) -> Derived:
    """A description of a value from its name and what its schema says: format, values, range and example."""
    text = words_of(name)
    said = text[:1].upper() + text[1:]
    if not isinstance(schema, dict):
        return Derived(said)
    items = schema.get("items")
    if isinstance(schema.get("format"), str):
        said += f" ({schema['format']})"
    values = schema.get("enum") or (items.get("enum") if isinstance(items, dict) else None)
    if isinstance(values, list) and values and len(values) <= 8:
        said += f": one of {', '.join('null' if value is None else str(value) for value in values)}"
    elif isinstance(schema.get("examples"), list) and schema["examples"]:
        example = schema["examples"][0]
        if isinstance(example, str | int | float) and len(str(example)) <= 60:
            said += f", for example {example}"
    elif "minimum" in schema and "maximum" in schema:
        said += f", from {schema['minimum']} to {schema['maximum']}"
    return Derived(said)
