"""Schemas of specifications as small schemas of draft 2020-12 without references.

Invariants: references are followed as far as they are kept; a reference inside what it refers to is followed once and then
cut; what is left out is optional in a call, and told. Where a call needs what can't be carried, that is a SpecError.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from functools import lru_cache
from typing import Any

from toolace_ray.records.json import canonical_json
from toolace_ray.schemas.gate import MAX_PARAMETERS
from toolace_ray.schemas.validate import SchemaError, check_schema
from toolace_ray.tss.references import References, SpecError
from toolace_ray.tss.spec_unions import NULL, both, with_null, without_null
from toolace_ray.tss.told import Derived, Told, describe

MAX_SCHEMAS = 256  # of one operation's parameters, or of its answer
MAX_NESTING = 48
MAX_LAST = 8  # properties of an object that is needed below the last level, all of them plain
MAX_BOUND = 1e15  # 64-bit limits that generators write as bounds say nothing
BOUNDS = (
    *(
        (levels, width, MAX_PARAMETERS)
        for levels, width in ((8, 64), (4, 32), (3, 24), (2, 24), (2, 12), (1, 32), (1, 12))
    ),
    *((2, 12, 12), (2, 6, 12), (2, 6, 6), (2, 3, 4)),
)
"""(levels of objects, properties of an object below the top, those at the top) that are tried in turn until a schema is small
enough and something is left in it: fewer at the top come last, where all of them are objects."""

_KEPT_KEYWORDS = {
    "type", "description", "properties", "required", "items", "enum", "const", "default", "examples", "minimum", "maximum",
    "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "pattern", "format", "minItems",
    "maxItems", "uniqueItems", "additionalProperties", "anyOf", "oneOf", "allOf", "minProperties", "maxProperties",
    "dependentRequired",
}  # fmt: skip
_UNTOLD = {
    "$ref", "$id", "id", "$schema", "$comment", "$anchor", "$dynamicAnchor", "$vocabulary", "$defs", "definitions", "title",
    "example", "nullable", "discriminator", "readOnly", "writeOnly", "xml", "externalDocs",
}  # fmt: skip
"""Keywords that are read elsewhere or say nothing of the values; of all others that are not kept, it is told."""
_KINDS = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    list: "array",
    dict: "object",
    type(None): "null",
}
MAX_EXAMPLE = 2000  # characters of a schema's examples or default; longer ones say no more
_CUT: Any = object()  # in place of a schema that is left out
_CIRCLE: Any = object()  # the same where it holds itself again: of alternatives, the others are enough
_GONE = (_CUT, _CIRCLE)


class Need(IntEnum):
    """Who needs a schema: nobody, its parent, which is optional itself, or every call."""

    NONE = 0
    PARENT = 1
    CALL = 2


class NothingLeft(SpecError):
    """Everything is optional, and nothing of it fits under these bounds."""


class TooLarge(ValueError):
    """The schema has more than MAX_SCHEMAS parts under these bounds."""


@dataclass
class Expansion:
    """Makes schemas out of a specification's, all of them under one bound.

    Args:
        levels: objects below each other that are kept where they are optional.
        width: properties of one object below the top that are kept; the required ones always are.
        top: the same for the object at the top.
        answers: the schemas are of answers, of which any part may be left out.
        derive: give parameters without a description one.
    """

    references: References
    levels: int
    width: int
    top: int = MAX_PARAMETERS
    answers: bool = False
    derive: bool = True
    told: Told = field(default_factory=Told)
    left: int = MAX_SCHEMAS

    def schema(self, node: Any, base: str, place: str, required: bool = True, level: int = 0) -> Any:
        """The schema at `place`, None where it is optional and left out.

        Raises:
            SpecError: a call needs it and it can't be carried.
            NothingLeft, TooLarge: see there.
        """
        result = self._schema(node, base, (), level, Need.CALL if required and not self.answers else Need.NONE, place)
        if result not in _GONE:
            return self._settled(result, place)
        if required:
            raise SpecError(f"{_at(place)} refers to itself without end, or only the server writes it")
        return None

    def _settled(self, schema: Any, place: str, around: frozenset[str] = frozenset()) -> Any:
        """A schema that requires only what it describes; `around` are the properties of a schema of which it is a part."""
        if not isinstance(schema, dict):
            return schema
        result, names = dict(schema), around
        for part in (schema, *(schema.get("allOf") or ())):
            if isinstance(part, dict) and isinstance(part.get("properties"), dict):
                names |= part["properties"].keys()
        if isinstance(schema.get("required"), list):
            result["required"] = [name for name in schema["required"] if name in names]
            for name in schema["required"]:
                if name not in names:
                    self.told.add("needed and not described, left out", f"{place}.{name}".removeprefix("."))
        if isinstance(schema.get("properties"), dict):
            below = schema["properties"].items()
            result["properties"] = {
                name: self._settled(sub, f"{place}.{name}".removeprefix(".")) for name, sub in below
            }
        for key, step in (("items", "[]"), ("additionalProperties", ".*")):
            if key in schema:
                result[key] = self._settled(schema[key], place + step)
        for key in ("allOf", "anyOf", "oneOf"):
            if isinstance(schema.get(key), list):
                result[key] = [self._settled(part, place, names) for part in schema[key]]
        return result

    def described(self, name: str, schema: Any, place: str) -> Any:
        """A parameter's schema with a description, which is told where it is derived."""
        if (
            not isinstance(schema, dict)
            or self.answers
            or not self.derive
            or str(schema.get("description") or "").strip()
        ):
            return schema
        self.told.add("descriptions derived", place)
        return {**schema, "description": describe(name, schema)}

    def _schema(self, node: Any, base: str, trail: tuple[str, ...], level: int, needed: Need, place: str) -> Any:
        if node is True or node is None:
            return {}
        if node is False:
            return False
        if not isinstance(node, dict):
            raise SpecError(f"{_at(place)} has {str(node)[:60]!r} in place of a schema")
        self.left -= 1
        if self.left < 0:
            raise TooLarge
        if len(trail) > MAX_NESTING:
            raise SpecError(f"{_at(place)} nests deeper than {MAX_NESTING} references")
        if isinstance(node.get("$ref"), str):
            return self._referred(node, base, trail, level, needed, place)
        null = (node.get("nullable") or node.get("x-nullable")) is True
        own = self._translated(node, place)
        parts = own.pop("allOf", None)
        if isinstance(parts, list) and parts:
            result = self._joined(own, parts, node, base, trail, level, needed, place)
        else:
            result = self._below(own, node, base, trail, level, needed, place)
        return with_null(result) if null and result not in _GONE else result

    def _joined(
        self,
        own: Any,
        parts: list[Any],
        node: Any,
        base: str,
        trail: tuple[str, ...],
        level: int,
        needed: Need,
        place: str,
    ) -> Any:
        """What an allOf and the words beside it let pass. A part of which nothing can be sent leaves what the others say."""
        merged, cut = self._below(own, node, base, trail, level, needed, place), False
        for part in parts:
            below = self._schema(part, base, trail, level, needed, place)
            if merged in _GONE or below is _CIRCLE:
                return merged if merged in _GONE else below
            if below is _CUT:
                cut = True
            else:
                merged = both(merged, below)
        return _CUT if cut and not (isinstance(merged, dict) and merged.get("properties")) else merged

    def _referred(self, node: Any, base: str, trail: tuple[str, ...], level: int, needed: Need, place: str) -> Any:
        target, at, name = self.references.target(node["$ref"], base)
        met = trail.count(name)
        target = self._own_part(target, at, trail, bool(met), place)
        if met > 1:
            self.told.add("left out, refers to itself", place)
            return _CIRCLE
        result = self._schema(target, at, (*trail, name), level, needed, place)
        own = {key: value for key, value in node.items() if key not in ("$ref", "summary")}
        if result in _GONE or not own:
            return result
        beside = self._schema(own, base, trail, level, needed, place)
        if beside in _GONE:
            return beside
        kinds = [set(_listed(part["type"])) for part in (beside, result) if isinstance(part, dict) and "type" in part]
        if len(kinds) == 2 and kinds[0].isdisjoint(kinds[1]) and not {"integer", "number"} <= kinds[0] | kinds[1]:
            beside = {key: value for key, value in beside.items() if key != "type"}
            self.told.add("the type beside a reference is another one, the reference counts", place)
        merged = both(beside, result)  # the text beside a reference speaks of this place
        return with_null(merged) if own.get("nullable") is True or own.get("x-nullable") is True else merged

    def _own_part(self, target: Any, at: str, trail: tuple[str, ...], met: bool, place: str) -> Any:
        """What a kind that lists its sub-kinds says itself, where it is met from one of these; else the target."""
        if not isinstance(target, dict) or "properties" not in target:
            return target
        for key in ("anyOf", "oneOf"):
            branches = target.get(key)
            if not isinstance(branches, list):
                continue
            references = [
                part["$ref"] for part in branches if isinstance(part, dict) and isinstance(part.get("$ref"), str)
            ]
            if met or any(self.references.target(reference, at)[2] in trail for reference in references):
                target = {word: value for word, value in target.items() if word != key}
                self.told.add("alternatives left out inside one of them", place)
        return target

    def _translated(self, node: dict[str, Any], place: str) -> dict[str, Any]:
        """The keywords of a schema that are kept, in the words of draft 2020-12; what is below it isn't touched."""
        result = {key: value for key, value in node.items() if key in _KEPT_KEYWORDS}
        for word, value in node.items():
            if word == "divisibleBy" and "multipleOf" not in node:
                result["multipleOf"] = value
                self.told.add("`divisibleBy` read as multipleOf", place)
            elif word in _KEPT_KEYWORDS | _UNTOLD or word.startswith("x-") or (word == "deprecated" and value is False):
                continue
            else:
                self.told.add(f"`{word[:60]}` is not carried", place)
        if isinstance(result.get("examples"), dict):
            result["examples"] = [
                item.get("value", item) if isinstance(item, dict) else item for item in result["examples"].values()
            ]
        if "example" in node and "examples" not in result:
            result["examples"] = [node["example"]]
        for bound in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"):
            limit = result.get(bound)
            if isinstance(limit, int | float) and not isinstance(limit, bool) and abs(limit) > MAX_BOUND:
                del result[bound]
                self.told.add(f"bounds beyond {MAX_BOUND:g} are left out", place)
        for flag, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
            if isinstance(result.get(flag), bool) and result.pop(flag) and bound in result:
                result[flag] = result.pop(bound)
        text = str(result.pop("description", None) or "").strip()
        if not text and self.derive and isinstance(node.get("title"), str) and node["title"].strip():
            text = Derived(node["title"].strip())
            if not self.answers:
                self.told.add("descriptions derived", place)
        if text:
            result["description"] = text
        if isinstance(result.get("required"), bool) and result.pop("required"):
            self.told.add("`required` as a truth value is not carried", place)
        if not isinstance(result.get("required", []), list):
            raise SpecError(f"{_at(place)} has a `required` that is no list")
        for word in ("examples", "default"):
            if word in result and len(canonical_json(result[word])) > MAX_EXAMPLE:
                del result[word]
                self.told.add(f"{word} of more than {MAX_EXAMPLE} characters are left out", place)
        if result.get("enum", "") in ([], None):
            del result["enum"]
            self.told.add("`enum` without values is left out", place)
        kinds = result.get("type")
        if isinstance(result.get("enum"), list) and isinstance(kinds, str | list):
            known = {_KINDS.get(type(value)) for value in result["enum"]}
            known |= set() if known.isdisjoint(("integer", "number")) else {"integer", "number"}
            if known.isdisjoint(_listed(kinds)):
                del result["type"]
                self.told.add("the values are of another type than its type, they count", place)
        if "pattern" in result and not (isinstance(result["pattern"], str) and _usable(result["pattern"])):
            self.told.add(f"the pattern {str(result.pop('pattern'))[:60]!r} is not carried", place)
        if isinstance(result.get("items"), list):
            self.told.add("`items` by position is not carried", place)
            result["items"] = {}
        return result

    def _below(
        self, result: dict[str, Any], node: Any, base: str, trail: tuple[str, ...], level: int, needed: Need, place: str
    ) -> Any:
        """A translated schema with what stands below it: properties, items and unions; or _CUT."""
        for key in ("anyOf", "oneOf"):
            if isinstance(result.get(key), list) and result[key]:
                result = self._union(result, key, node, base, trail, level, needed, place)
                if result in _GONE:
                    return result
        if "items" in result:
            below = self._schema(result["items"], base, trail, level, needed, f"{place}[]")
            if below in _GONE and (not needed or result.get("minItems")):
                return below
            result["items"] = {} if below in _GONE else below
            if below in _GONE:
                self.told.add("left out, optional", f"{place}[]")
                result["maxItems"] = 0  # a list that a call needs ends here, where its values would hold it again
        if isinstance(result.get("additionalProperties"), dict):
            below = self._schema(result["additionalProperties"], base, trail, level + 1, Need.NONE, f"{place}.*")
            result["additionalProperties"] = True if below in _GONE else below
            if below in _GONE:
                self.told.add("left out, optional", f"{place}.*")
        if isinstance(result.get("properties"), dict):
            return self._object(result, base, trail, level, needed, place)
        return result

    def _object(
        self, result: dict[str, Any], base: str, trail: tuple[str, ...], level: int, needed: Need, place: str
    ) -> Any:
        written = {str(name): sub for name, sub in result["properties"].items()}
        required = dict.fromkeys(name for name in result.get("required") or () if isinstance(name, str))
        for name, sub in written.items():
            if isinstance(sub, dict) and sub.get("required") is True:
                self.told.add(
                    "`required` beside a property, as in draft 3, counts", f"{place}.{name}".removeprefix(".")
                )
                written[name] = {key: value for key, value in sub.items() if key != "required"}
                required[name] = None
        if level >= self.levels and written and not needed:
            return _CUT
        last = level >= self.levels
        room = MAX_LAST if last else self.width if level else self.top
        below = needed or (Need.NONE if self.answers or self.levels < 2 else Need.PARENT)
        kept: dict[str, Any] = {}
        left_out = []
        sent = written.keys() & required.keys()
        optional_room = max(room - len(sent), 0)
        for name, sub in written.items():
            here = f"{place}.{name}".removeprefix(".")
            one_way = "writeOnly" if self.answers else "readOnly"
            if isinstance(sub, dict) and sub.get(one_way) is True:
                self.told.add(f"left out, {one_way}", here)
                continue
            if name not in sent and (not optional_room or (last and not _is_plain(sub))):
                left_out.append(here)
                continue
            value = self._schema(sub, base, trail, level + 1, below if name in sent else Need.NONE, here)
            if value is False:
                if needed is Need.CALL and name in sent:
                    raise SpecError(f"{here!r} lets no value pass")
                self.told.add("left out, lets no value pass", here)
            elif value not in _GONE:
                kept[name] = self.described(name, value if name in sent or self.answers else without_null(value), here)
                optional_room -= name not in sent
            elif self.answers or name not in sent:
                left_out.append(here)
            elif needed is Need.CALL:
                raise SpecError(f"{here!r} refers to itself without end")
            else:
                return value
        for here in left_out:
            self.told.add("left out, optional", here)
        if left_out and not kept and not level and not self.answers:
            raise NothingLeft(f"nothing of what it takes can be carried: {', '.join(left_out[:8])}")
        if written and not kept and level and not (needed and left_out):
            return _CUT  # what is needed stays, as an object of which every part is optional and left out
        result = {**result, "properties": kept}
        if required or "required" in result:
            gone = written.keys() - kept.keys()
            result["required"] = [name for name in required if name not in gone]
        return result

    def _union(
        self, result: Any, key: str, node: Any, base: str, trail: tuple[str, ...], level: int, needed: Need, place: str
    ) -> Any:
        branches = []
        for part in result[key]:
            below = self._schema(part, base, trail, level, needed, place)
            if below in _GONE:
                if below is _CUT and not self.answers and not needed:
                    return _CUT
                self.told.add("alternatives left out", place)
                continue
            branch = _of_kind(node.get("discriminator"), part, below)
            if branch not in branches:  # in a oneOf, what stands there twice would let nothing pass
                branches.append(branch)
        if not branches or branches == [NULL]:
            return _CIRCLE
        rest = {word: value for word, value in result.items() if word != key}
        real = [branch for branch in branches if branch != NULL]
        if len(real) == 1 and isinstance(real[0], dict):
            merged = both(rest, real[0])
            return with_null(merged) if len(real) < len(branches) else merged
        return {**rest, key: branches}


def _is_plain(schema: Any) -> bool:
    return isinstance(schema, dict) and schema.get("type") in ("string", "integer", "number", "boolean")


def _listed(kinds: Any) -> list[Any]:
    return kinds if isinstance(kinds, list) else [kinds]


def _at(place: str) -> str:
    return repr(place) if place else "its schema"


def _of_kind(discriminator: Any, part: Any, schema: Any) -> Any:
    """A branch of a union whose discriminator says which value of a property stands for it."""
    name = discriminator.get("propertyName") if isinstance(discriminator, dict) else None
    reference = part.get("$ref") if isinstance(part, dict) else None
    if not isinstance(name, str) or not isinstance(reference, str) or not isinstance(schema, dict):
        return schema
    properties = schema.get("properties")
    told = properties.get(name) if isinstance(properties, dict) else None
    if not isinstance(properties, dict) or not isinstance(told, dict) or told.keys() & {"enum", "const"}:
        return schema
    last = reference.rsplit("/", 1)[-1]
    mapping = discriminator.get("mapping")
    values = [key for key, to in mapping.items() if to in (reference, last)] if isinstance(mapping, dict) else []
    return {**schema, "properties": {**properties, name: {**told, "enum": values or [last]}}}


@lru_cache(maxsize=4096)
def _usable(pattern: str) -> bool:
    """True for an expression that our validator, which knows no lookarounds, can apply."""
    try:
        check_schema({"pattern": pattern})
    except SchemaError:
        return False
    return True
