"""Diversity indicators: how a definition is made richer, and how code tells that it was (paper section 2.1, evolution).

Each indicator names a change. The model writes only what is new (a parameter, options, bounds, an item's fields); code
puts it into the schema; a post-condition then compares the two definitions. A change that its post-condition does not
find did not happen, whatever the model said.

Invariants: a mutation touches one parameter, or the results; what it does not name stays as it was.
"""

from __future__ import annotations

import copy
import random
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from toolace_ray.records.api import Api
from toolace_ray.schemas.draw import example_object
from toolace_ray.schemas.validate import SchemaError, errors
from toolace_ray.schemas.walk import kind_of, shape, texts
from toolace_ray.tss.fields import (
    DESCRIPTION,
    EXAMPLE,
    IDENTIFIER,
    MAX_DESCRIPTION,
    MAX_SENTENCE,
    NUMBER,
    SENTENCE,
    field_schema,
    object_of,
    object_schema,
    property_of,
)
from toolace_ray.tss.sense import related, whole

MAX_ENUM, MAX_ITEMS = 12, 10
FORMATS = ("date", "time", "date-time", "email", "uri", "uuid", "ipv4", "hostname")
_FORMAT_WORDS = {
    "date",
    "day",
    "time",
    "when",
    "email",
    "mail",
    "url",
    "uri",
    "link",
    "website",
    "host",
    "hostname",
    "ip",
    "uuid",
    "deadline",
    "expiry",
    "birthday",
}
_CODE_WORDS = {"id", "code", "number", "key", "reference", "ref", "no"}
_PROBES = ("?", "a b c", "Zz9-_./ 漢", " \n", "x" * 40)  # no pattern of any use lets more than two of these pass
_PLACEHOLDER = re.compile(r"(value|option|item|example|string|text|enum|choice)[ _-]*[a-z0-9]?", re.IGNORECASE)
MAX_PROBES_PASSED = 2
WIDE_LENGTH = 300  # a length up to which everything is allowed says nothing


class Lie(ValueError):
    """The answer does not do what the indicator asks for."""


@dataclass(frozen=True)
class Indicator:
    """One way to make a definition richer.

    `targets` lists the parameters it can be applied to ("" where it needs none); `ask` gives the decoding schema of
    the model's answer; `apply` writes the answer into a copy of the API and may raise Lie, KeyError, TypeError or
    ValueError; `holds` is the feature that the post-condition looks for.
    """

    id: str
    prompt: str
    targets: Callable[[Api], list[str]]
    ask: Callable[[Api, str], dict[str, Any]]
    apply: Callable[[Api, str, dict[str, Any]], Api]
    holds: Callable[[Api, Api], str | None]


# What can be changed -------------------------------------------------------------------------------------------------


def _anywhere(api: Api) -> list[str]:
    return [""]


def _free_strings(api: Api) -> list[str]:
    """String parameters that nothing constrains yet."""
    return [
        name
        for name, schema in api.properties.items()
        if schema.get("type") == "string" and not {"enum", "pattern", "format", "minLength", "maxLength"} & set(schema)
    ]


def _codes(api: Api) -> list[str]:
    """Free strings whose example looks like a code."""
    names = []
    for name in _free_strings(api):
        example = str((api.properties[name].get("examples") or [""])[0])
        if " " not in example and any(c.isdigit() for c in example) and _words(name) & _CODE_WORDS:
            names.append(name)
    return names


def _date_like(api: Api) -> list[str]:
    return [name for name in _free_strings(api) if _words(name) & _FORMAT_WORDS]


def _words(name: str) -> set[str]:
    return set(name.lower().split("_"))


def _free_numbers(api: Api) -> list[str]:
    return [
        name
        for name, schema in api.properties.items()
        if schema.get("type") in ("integer", "number") and "minimum" not in schema and "maximum" not in schema
    ]


def _optional(api: Api) -> list[str]:
    return [name for name in api.properties if name not in api.required]


def _scalars(api: Api) -> list[str]:
    return [n for n, s in api.properties.items() if s.get("type") in ("string", "integer", "number")]


def _lists(api: Api) -> list[str]:
    return [
        name
        for name, schema in api.properties.items()
        if schema.get("type") in ("integer", "number")
        or (
            schema.get("type") == "array" and (schema.get("items") or {}).get("type") in ("string", "integer", "number")
        )
    ]


# What the model is asked for -----------------------------------------------------------------------------------------


def _ask_parameter(api: Api, target: str) -> dict[str, Any]:
    return field_schema(required={"type": "boolean"})


def _ask_functionality(api: Api, target: str) -> dict[str, Any]:
    return object_schema({"description": DESCRIPTION,
                    "parameter": field_schema(required={"type": "boolean"}), "result": field_schema()})  # fmt: skip


def _ask_dependent(api: Api, target: str) -> dict[str, Any]:
    return object_schema({"given": {"enum": _optional(api)}, "needed": {"enum": _optional(api)}})


def _ask_fields(extra: dict[str, Any]) -> dict[str, Any]:
    return object_schema({**extra, "fields": {"type": "array", "minItems": 2, "maxItems": 4, "items": field_schema()}})


def _ask_array(api: Api, target: str) -> dict[str, Any]:
    return object_schema(
        {"name": IDENTIFIER, "description": SENTENCE, "examples": _examples_of(api.properties[target], 1)}
    )


def _ask_rows(api: Api, target: str) -> dict[str, Any]:
    schema = api.properties[target]
    inner = schema["items"] if schema.get("type") == "array" else schema
    return object_schema({"name": IDENTIFIER, "description": SENTENCE, "examples": _examples_of(inner, 2)})


def _examples_of(schema: dict[str, Any], levels: int) -> dict[str, Any]:
    kinds: dict[str, dict[str, Any]] = {"integer": NUMBER, "number": {"type": "number"}}
    item = kinds.get(str(schema.get("type")), EXAMPLE)
    if schema.get("enum"):
        item = {"enum": schema["enum"]}
    for _ in range(levels):
        item = {"type": "array", "minItems": 2, "maxItems": 3, "items": item}
    return item


# How the answer enters the schema ------------------------------------------------------------------------------------


def _with_schemas(api: Api, **schemas: Any) -> Api:
    """A copy with other schemas; its examples follow from them."""
    changed = api.model_copy(update=schemas)
    examples = {
        "example_arguments": example_object(changed.parameters),
        "example_return": example_object(changed.returns),
    }
    return changed.model_copy(update=examples)


def _with_property(api: Api, target: str, schema: dict[str, Any], name: str | None = None) -> Api:
    """A copy in which a parameter has another schema, and another name where one is given."""
    name = name or target
    old_text = f"{target} {api.properties[target].get('description', '')}".replace("_", " ")
    if name != target and not related(
        old_text, " ".join([name.replace("_", " "), *texts(object_schema({name: schema}))])
    ):
        raise Lie(f"{name} has nothing to do with {target}")
    if name != target and name in api.properties:
        raise Lie(f"there is a parameter {name} already")
    parameters = copy.deepcopy(api.parameters)
    parameters["properties"] = {
        name if key == target else key: schema if key == target else sub
        for key, sub in parameters["properties"].items()
    }
    if "required" in parameters:
        parameters["required"] = [name if key == target else key for key in parameters["required"]]
    if "dependentRequired" in parameters:
        parameters["dependentRequired"] = {
            name if key == target else key: [name if item == target else item for item in needed]
            for key, needed in parameters["dependentRequired"].items()
        }
    return _with_schemas(api, parameters=parameters)


def _with_constraint(api: Api, target: str, constraint: dict[str, Any], example: Any = None) -> Api:
    schema = {**copy.deepcopy(api.properties[target]), **constraint}
    if example is not None:
        schema["examples"] = [example]
    example = (schema.get("examples") or [None])[0]
    if violations := errors({key: value for key, value in schema.items() if key != "examples"}, example, 1):
        raise Lie(f"its own example does not fit: {violations[0]}")
    return _with_property(api, target, schema)


def _add_parameter(api: Api, target: str, answer: dict[str, Any]) -> Api:
    if answer["name"] in api.properties:
        raise Lie(f"there is a parameter {answer['name']} already")
    parameters = copy.deepcopy(api.parameters)
    parameters["properties"][answer["name"]] = property_of(answer)
    if answer.get("required"):
        parameters["required"] = [*parameters.get("required", ()), answer["name"]]
    return _with_schemas(api, parameters=parameters)


def _add_functionality(api: Api, target: str, answer: dict[str, Any]) -> Api:
    changed = _add_return(_add_parameter(api, "", answer["parameter"]), "", answer["result"])
    return changed.model_copy(update={"description": whole(answer["description"], MAX_DESCRIPTION)})


def _add_enum(api: Api, target: str, answer: dict[str, Any]) -> Api:
    options = list(dict.fromkeys(option.strip() for option in answer["options"] if option.strip()))
    if len(options) < 2:
        raise Lie("fewer than two options")
    example = api.properties[target].get("examples", [None])[0]
    return _with_constraint(api, target, {"enum": options}, example if example in options else options[0])


def _add_range(api: Api, target: str, answer: dict[str, Any]) -> Api:
    low, high = answer["minimum"], answer["maximum"]
    if low >= high:
        raise Lie(f"{low} to {high} is no range")
    return _with_constraint(api, target, {"minimum": low, "maximum": high})


def _add_pattern(api: Api, target: str, answer: dict[str, Any]) -> Api:
    pattern = answer["pattern"]
    if not (pattern.startswith("^") and pattern.endswith("$") and not pattern.endswith("\\$")):
        raise Lie("the pattern is not anchored with ^ and $")
    bare = re.sub(r"\\.|\[[^\]]*\]", "", pattern)
    while (inner := re.sub(r"\([^()]*\)", "", bare)) != bare:
        bare = inner
    if "|" in bare:
        raise Lie("the pattern has alternatives that are not anchored on both sides")
    return _with_constraint(api, target, {"pattern": pattern}, answer["example"])


def _add_format(api: Api, target: str, answer: dict[str, Any]) -> Api:
    return _with_constraint(api, target, {"format": answer["format"]}, answer["example"])


def _add_length(api: Api, target: str, answer: dict[str, Any]) -> Api:
    low, high = answer["min_length"], answer["max_length"]
    if low > high:
        raise Lie(f"{low} to {high} is no length")
    return _with_constraint(api, target, {"minLength": low, "maxLength": high})


def _add_dependent(api: Api, target: str, answer: dict[str, Any]) -> Api:
    given, needed = answer["given"], answer["needed"]
    if given == needed:
        raise Lie(f"{given} can't depend on itself")
    parameters = copy.deepcopy(api.parameters)
    dependent = parameters.setdefault("dependentRequired", {})
    dependent[given] = sorted({*dependent.get(given, ()), needed})
    words = parameters["properties"][given]["description"].rstrip(". ")
    parameters["properties"][given]["description"] = f"{words}; needs {needed} as well."
    return _with_schemas(api, parameters=parameters)


def _to_array(api: Api, target: str, answer: dict[str, Any]) -> Api:
    old = api.properties[target]
    items = {key: value for key, value in old.items() if key != "examples"}
    return _with_property(api, target, _array_schema(items, answer["description"], answer["examples"]), answer["name"])


def _to_rows(api: Api, target: str, answer: dict[str, Any]) -> Api:
    old = api.properties[target]
    inner = {key: value for key, value in (old.get("items") or old).items() if key not in ("examples", "minItems")}
    row = {"type": "array", "minItems": 1, "maxItems": MAX_ITEMS, "items": inner}
    return _with_property(api, target, _array_schema(row, answer["description"], answer["examples"]), answer["name"])


def _to_objects(api: Api, target: str, answer: dict[str, Any]) -> Api:
    item, example = object_of(answer["fields"])
    return _with_property(api, target, _array_schema(item, answer["description"], [example]), answer["name"])


def _to_object(api: Api, target: str, answer: dict[str, Any]) -> Api:
    schema, example = object_of(answer["fields"])
    schema = {
        "type": "object",
        "description": whole(answer["description"], MAX_SENTENCE),
        **schema,
        "examples": [example],
    }
    return _with_property(api, target, schema, answer["name"])


def _array_schema(items: dict[str, Any], description: str, examples: list[Any]) -> dict[str, Any]:
    return {"type": "array", "description": whole(description, MAX_SENTENCE), "items": items, "minItems": 1, "maxItems": MAX_ITEMS,
            "examples": [examples]}  # fmt: skip


def _add_return(api: Api, target: str, answer: dict[str, Any]) -> Api:
    returns = copy.deepcopy(api.returns)
    if returns.get("type") != "object" or not isinstance(returns.get("properties"), dict):
        raise Lie("what it returns is no object with fields")
    if answer["name"] in returns["properties"]:
        raise Lie(f"it returns {answer['name']} already")
    if "fields" in answer:
        item, example = object_of(answer["fields"])
        schema = _array_schema(item, answer["description"], [example])
    else:
        schema = property_of(answer)
    returns["properties"][answer["name"]] = schema
    returns["required"] = [*returns.get("required", ()), answer["name"]]
    return _with_schemas(api, returns=returns)


# What code sees of it ------------------------------------------------------------------------------------------------


def _others_changed(before: Api, after: Api, allowed: int = 0) -> str | None:
    """None when all parameters of `before` are in `after` as they were, but for `allowed` of them."""
    changed = [name for name, schema in before.properties.items() if after.properties.get(name) != schema]
    return f"{', '.join(changed)} changed as well" if len(changed) > allowed else None


def _parameter_added(before: Api, after: Api) -> str | None:
    new = set(after.properties) - set(before.properties)
    if not new:
        return "there is no new parameter"
    return _others_changed(before, after)


def _functionality_added(before: Api, after: Api) -> str | None:
    if not set(after.functionalities) > set(before.functionalities):
        return "the set of functionalities did not grow"
    if after.description.strip().lower() == before.description.strip().lower():
        return "the description does not tell of it"
    if after.example_return is not None and _return_changed(before, after) is None:
        return _parameter_added(before, after)
    return "nothing new is returned"


def _constraint_added(kind: str) -> Callable[[Api, Api], str | None]:
    def holds(before: Api, after: Api) -> str | None:
        old, new = shape(before.parameters), shape(after.parameters)
        if new.constraints[kind] <= old.constraints[kind] and kind != "dependent":
            return f"there is no new constraint of the kind {kind}"
        if set(new.leaves) != set(old.leaves):
            return "the parameters are not the same any more"
        if problem := _others_changed(before, after, allowed=1):
            return problem
        if kind == "dependent":
            return _idle_dependence(before, after)
        changed = [schema for name, schema in after.properties.items() if before.properties.get(name) != schema]
        return next((reason for schema in changed if (reason := _vacuous(kind, schema))), None)

    return holds


def _idle_dependence(before: Api, after: Api) -> str | None:
    """Why a new dependence between parameters constrains nothing."""
    old, new = (api.parameters.get("dependentRequired") or {} for api in (before, after))
    pairs = [(given, name) for given, needed in new.items() for name in needed if name not in old.get(given, ())]
    for given, needed in pairs:
        if given == needed or not {given, needed} <= set(after.properties):
            return f"{given} can't depend on {needed}"
        if needed in after.required:
            return f"{needed} is required anyway"
    return None if pairs else "no parameter depends on another one that it did not depend on"


def _vacuous(kind: str, schema: dict[str, Any]) -> str | None:
    """Why a constraint constrains nothing."""
    match kind:
        case "enum" if (
            len({str(value).strip().lower() for value in schema["enum"]}) < 2 or len(schema["enum"]) > MAX_ENUM
        ):
            return "an enum of fewer than two or of too many values"
        case "enum" if any(_PLACEHOLDER.fullmatch(str(value).strip()) for value in schema["enum"]):
            return "an enum of placeholders"
        case "range" if not schema.get("minimum", float("-inf")) < schema.get("maximum", float("inf")):
            return "a range without extent"
        case "length" if schema.get("minLength", 0) > schema.get("maxLength", 10**9) or (
            schema.get("minLength", 0) <= 1 and schema.get("maxLength", 10**9) >= WIDE_LENGTH
        ):
            return "a length that says nothing"
        case "pattern":
            try:
                passed = sum(not errors({"pattern": schema["pattern"]}, probe, 1) for probe in _PROBES)
            except SchemaError as error:
                return f"the pattern is none: {error}"
            return None if passed <= MAX_PROBES_PASSED else "a pattern that lets nearly everything pass"
        case "format" if schema["format"] not in FORMATS:
            return f"{schema['format']} is not a format that is checked"
    return None


def _type_changed(kind: str) -> Callable[[Api, Api], str | None]:
    def holds(before: Api, after: Api) -> str | None:
        old = [schema for name, schema in before.properties.items() if after.properties.get(name) != schema]
        new = [schema for name, schema in after.properties.items() if before.properties.get(name) != schema]
        if len(old) != 1 or len(new) != 1:
            return f"{len(old)} parameters became {len(new)}, not one became another"
        if kind_of(new[0]) != kind:
            return f"no parameter became {kind}"
        item = new[0].get("items") if kind.startswith("array") else new[0]
        if kind.endswith("object") and not (item or {}).get("properties"):
            return "the object has no fields"
        if shape(object_schema({"it": new[0]})).depth <= shape(object_schema({"it": old[0]})).depth:
            return "nothing nests deeper"
        return None

    return holds


def _return_changed(before: Api, after: Api) -> str | None:
    old, new = shape(before.returns), shape(after.returns)
    if new.leaves == old.leaves:
        return "it returns what it returned before"
    if not set(old.leaves) <= set(new.leaves):
        return "a returned field is gone"
    if after.example_return is None or errors(after.returns, after.example_return, 1):
        return "the example return does not fit the new schema"
    return None


_WORD = {"type": "string", "minLength": 1, "maxLength": 30}
_BOUND = {"type": "integer", "minimum": 0, "maximum": 100_000}
_ENUM = object_schema({"options": {"type": "array", "minItems": 2, "maxItems": 6, "items": _WORD}})
_RANGE = object_schema({"minimum": _BOUND, "maximum": _BOUND})
_PATTERN = object_schema({"example": _WORD, "pattern": {"type": "string", "minLength": 3, "maxLength": 60}})
_FORMAT = object_schema(
    {"format": {"enum": list(FORMATS)}, "example": {"type": "string", "minLength": 3, "maxLength": 40}}
)
_SIZE = {"type": "integer", "minimum": 1, "maximum": 500}
_LENGTH = object_schema({"min_length": _SIZE, "max_length": _SIZE})
_HEAD = {"name": IDENTIFIER, "description": SENTENCE}


def _ask_always(schema: dict[str, Any]) -> Callable[[Api, str], dict[str, Any]]:
    return lambda api, target: schema


INDICATORS: dict[str, Indicator] = {
    indicator.id: indicator
    for indicator in (
        Indicator("parameter_added", "parameter", _anywhere, _ask_parameter, _add_parameter, _parameter_added),
        Indicator("functionality_added", "functionality", _anywhere, _ask_functionality, _add_functionality, _functionality_added),
        Indicator("enum_added", "constraint", _free_strings, _ask_always(_ENUM), _add_enum, _constraint_added("enum")),
        Indicator("range_added", "constraint", _free_numbers, _ask_always(_RANGE), _add_range, _constraint_added("range")),
        Indicator("pattern_added", "constraint", _codes, _ask_always(_PATTERN), _add_pattern, _constraint_added("pattern")),
        Indicator("format_added", "constraint", _date_like, _ask_always(_FORMAT), _add_format, _constraint_added("format")),
        Indicator("length_added", "constraint", _free_strings, _ask_always(_LENGTH), _add_length, _constraint_added("length")),
        Indicator("dependent_added", "dependent", lambda api: [""] if len(_optional(api)) > 1 else [], _ask_dependent,
                  _add_dependent, _constraint_added("dependent")),
        Indicator("type_to_array", "array", _scalars, _ask_array, _to_array, _type_changed("array")),
        Indicator("type_to_rows", "rows", _lists, _ask_rows, _to_rows, _type_changed("array of array")),
        Indicator("type_to_objects", "objects", _scalars, _ask_always(_ask_fields(_HEAD)), _to_objects, _type_changed("array of object")),
        Indicator("type_to_object", "object", _scalars, _ask_always(_ask_fields(_HEAD)), _to_object, _type_changed("object")),
        Indicator("return_field_added", "result", _anywhere, lambda api, target: field_schema(), _add_return, _return_changed),
        Indicator("return_list_added", "results", _anywhere, _ask_always(_ask_fields(_HEAD)), _add_return, _return_changed),
    )
}  # fmt: skip


def post_condition(indicator: str, before: Api, after: Api) -> str | None:
    """Why `after` is not `before` with the indicator's change; None when it is."""
    return INDICATORS[indicator].holds(before, after)


def target_of(indicator: Indicator, api: Api, rng: random.Random, touched: Collection[str] = ()) -> str | None:
    """The parameter to change, "" where none is needed; None where the indicator does not apply to this API.

    Args:
        touched: parameters that an indicator changed or added before: another one goes elsewhere.
    """
    targets = [target for target in indicator.targets(api) if target not in touched]
    return rng.choice(sorted(targets)) if targets else None
