"""Functions of Python files as a source of APIs. Nothing of a file is run."""

import ast
import json
import sys
import textwrap
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.ingest import _file_rows
from jobs.cli import main
from toolace_ray.config.tree import SourcesConfig
from toolace_ray.errors import UserError
from toolace_ray.records.api import Api
from toolace_ray.schemas import gate
from toolace_ray.tss import python_docs, python_files, python_types, sources, specs
from toolace_ray.tss.readers import Limits
from toolace_ray.tss.told import Told

ROOT = Path(__file__).parents[2]
HEAD = """
from __future__ import annotations
import datetime as dt
import typing as t
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, IntEnum, StrEnum, auto
from typing import Annotated, Any, Literal, NewType, NotRequired, Optional, TypedDict, TypeVar, Union
from uuid import UUID
import pandas as pd
from annotated_types import Ge, Len
from pydantic import BaseModel, Field
"""


def read(folder, text, name="desk.py", head=HEAD, **more):
    path = folder / name
    path.write_text(head + text)
    return list(specs.import_python(str(path), **more))


def one(folder, text, **more):
    (item,) = read(folder, text, **more)
    assert isinstance(item, Api), item
    return item


def hinted(folder, hint, more=""):
    """The schema of a parameter with a type hint, without its description."""
    api = one(folder, f"{more}\ndef look_up(x: {hint}):\n    'Look something up.'")
    assert gate.check(api) == []
    return {key: value for key, value in api.properties["x"].items() if key != "description"}


def hinted_alone(text):
    """The schema of a hint as it is read, before what reads all kinds of documents has it."""
    types = python_types.Types(ast.parse(HEAD))
    return types.hint(ast.parse(text, mode="eval").body, Told(), "x").schema


def test_a_function_is_an_api(tmp_path):
    api = one(
        tmp_path,
        '''
def tell_weather(city: str, days: int = 3, *, unit: Literal["C", "F"] = "C", near: Optional[str] = None) -> float:
    """Tell the weather of a city.

    It knows Europe alone.

    Args:
        city: Name of the city,
            in English.
        days (int): Days to tell of.
        unit: Unit of the temperature.
        near: A place nearby.

    Returns:
        The temperature.

    Raises:
        KeyError: There is no such city.
    """
''',
    )
    assert api.name == "tell_weather"
    assert api.description == "Tell the weather of a city.\n\nIt knows Europe alone."
    assert api.parameters == {
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": "Name of the city, in English."},
            "days": {"type": "integer", "default": 3, "description": "Days to tell of."},
            "unit": {"type": "string", "enum": ["C", "F"], "default": "C", "description": "Unit of the temperature."},
            "near": {"type": "string", "description": "A place nearby."},
        },
        "required": ["city"],
        "additionalProperties": False,
    }
    assert api.returns == {"type": "number", "description": "The temperature."}
    assert [(error.code, error.message) for error in api.errors] == [("KeyError", "There is no such city.")]
    assert (api.domain, api.lineage.source, api.lineage.operation) == (("Desk",), "python", "tell_weather")
    assert api.lineage.notes == ()
    assert gate.check(api) == []


NUMPY = """
    Tell the weather of a city.

    Parameters
    ----------
    city : str
        Name of the city.
    days : int, optional
        Days to tell of.

    Returns
    -------
    float
        The temperature.

    Raises
    ------
    KeyError
        There is no such city.
"""
REST = """
    Tell the weather of a city.

    :param city: Name of the city.
    :type city: str
    :param int days: Days to tell of.
    :returns: The temperature.
    :rtype: float
    :raises KeyError: There is no such city.
"""
GOOGLE = """
    Tell the weather of a city.

    Args:
        city (str): Name of the city.
        days (int, optional): Days to tell of.

    Returns:
        float: The temperature.

    Raises:
        KeyError: There is no such city.
"""


@pytest.mark.parametrize("doc", [NUMPY, REST, GOOGLE])
@pytest.mark.parametrize("signature", ["city: str, days: int = None) -> float", "city, days=None)"])
def test_docstrings_of_three_styles_say_the_same(tmp_path, doc, signature):
    api = one(tmp_path, f'def tell_weather({signature}:\n    """{doc}    """')
    assert api.description == "Tell the weather of a city."
    assert api.properties == {
        "city": {"type": "string", "description": "Name of the city."},
        "days": {"type": "integer", "description": "Days to tell of."},
    }
    assert api.required == ("city",)
    assert api.returns == {"type": "number", "description": "The temperature."}
    assert [(error.code, error.message) for error in api.errors] == [("KeyError", "There is no such city.")]
    taken = "types taken from the docstring: city, days"
    assert (taken in api.lineage.notes) == ("str" not in signature)


@pytest.mark.parametrize(
    ("hint", "schema"),
    [
        ("str", {"type": "string"}),
        ("'str'", {"type": "string"}),
        ("bool", {"type": "boolean"}),
        ("list", {"type": "array"}),
        ("list[int]", {"type": "array", "items": {"type": "integer"}}),
        ("t.List[t.List[float]]", {"type": "array", "items": {"type": "array", "items": {"type": "number"}}}),
        ("set[str]", {"type": "array", "items": {"type": "string"}, "uniqueItems": True}),
        ("tuple[float, float]", {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}),
        ("tuple[str, ...]", {"type": "array", "items": {"type": "string"}}),
        ("dict", {"type": "object"}),
        ("dict[str, Any]", {"type": "object"}),
        ("Mapping[str, float]", {"type": "object", "additionalProperties": {"type": "number"}}),
        ("Optional[int]", {"type": ["integer", "null"]}),
        ("int | None", {"type": ["integer", "null"]}),
        ("Union[int, str]", {"anyOf": [{"type": "integer"}, {"type": "string"}]}),
        ("int | str | int", {"anyOf": [{"type": "integer"}, {"type": "string"}]}),
        ("Literal['a', 'b']", {"type": "string", "enum": ["a", "b"]}),
        ("Literal[-1, 2]", {"type": "integer", "enum": [-1, 2]}),
        ("Literal['a', 1, None]", {"enum": ["a", 1, None]}),
        ("Literal[1, 'a', 1]", {"enum": [1, "a"]}),
        ("Literal[1, True, 1.0, 1]", {"enum": [1, True, 1.0]}),
        ("tuple[()]", {"type": "array", "minItems": 0, "maxItems": 0}),
        ("Literal[Kind.SMALL]", {"type": "string", "enum": ["small"]}),
        ("Kind", {"type": "string", "enum": ["small", "large"]}),
        ("Auto", {"type": "string", "enum": ["first", "second"]}),
        ("Level", {"type": "integer", "enum": [1, 2]}),
        ("dt.date", {"type": "string", "format": "date"}),
        ("dt.datetime", {"type": "string", "format": "date-time"}),
        ("UUID", {"type": "string", "format": "uuid"}),
        ("Any", {}),
        ("UserId", {"type": "integer"}),
        ("Pair", {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2}),
        ("T", {}),
        ("Annotated[int, Field(ge=1, lt=9)]", {"type": "integer", "minimum": 1, "exclusiveMaximum": 9}),
        ("Annotated[int, Ge(1)]", {"type": "integer", "minimum": 1}),
        (
            "Annotated[list[str], Len(1, 3)]",
            {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 3},
        ),
        ("Annotated[Optional[str], Field(min_length=2)]", {"type": ["string", "null"], "minLength": 2}),
    ],
)
def test_type_hints_become_schemas(tmp_path, hint, schema):
    more = """
UserId = NewType("UserId", int)
Pair = tuple[UserId, int]
T = TypeVar("T")
class Kind(str, Enum):
    SMALL = "small"
    LARGE = "large"
class Auto(StrEnum):
    FIRST = auto()
    SECOND = auto()
class Level(IntEnum):
    LOW = auto()
    HIGH = auto()
"""
    assert hinted(tmp_path, hint, more) == schema


MODELS = '''
@dataclass
class Place:
    """Where it is.

    Attributes:
        city: Name of the city.
    """
    city: str
    street: str = ""
    "The street with its number."
    tags: list[str] = field(default_factory=list)
    secret: ClassVar[int] = 3

class Guest(BaseModel):
    name: str = Field(..., min_length=1, description="Name of the guest")
    age: Annotated[int, "Age in years"] = Field(default=30, ge=0)
    home: Optional["Place"] = None
    postCode: str = Field(alias="post_code", description="Post code")
    friends: list["Guest"] = Field(default_factory=list, description="Friends")
    _private: int = 0

class Base(TypedDict):
    id: int

class Options(Base, total=False):
    color: Required[str]
    size: int

class Late(TypedDict):
    day: dt.date
    note: NotRequired[str]
'''


@pytest.mark.parametrize(
    ("hint", "required", "optional"),
    [
        ("Place", {"city"}, {"street", "tags"}),
        ("Guest", {"name", "post_code"}, {"age", "home", "friends"}),
        ("Options", {"id", "color"}, {"size"}),
        ("Late", {"day"}, {"note"}),
    ],
)
def test_classes_of_the_same_file_become_objects(tmp_path, hint, required, optional):
    schema = hinted(tmp_path, hint, MODELS)
    assert set(schema["required"]) == required
    assert set(schema["properties"]) == required | optional


def test_what_classes_say_of_their_fields_is_kept(tmp_path):
    api = one(
        tmp_path, MODELS + "\ndef add_guest(guest: Guest, place: Place) -> list[Place]:\n    'Add a guest to the list.'"
    )
    guest, place = api.properties["guest"]["properties"], api.properties["place"]
    assert guest["name"] == {"type": "string", "minLength": 1, "description": "Name of the guest"}
    assert guest["age"] == {"type": "integer", "minimum": 0, "default": 30, "description": "Age in years"}
    assert guest["home"]["properties"]["city"]["description"] == "Name of the city."
    assert place["properties"]["street"]["description"] == "The street with its number."
    assert place["description"] == "Where it is."
    # A guest's friends are guests: the circle is followed once and then cut.
    assert "friends" not in guest["friends"]["items"]["properties"]
    assert set(api.returns["items"]["properties"]) == {"city", "street", "tags"}
    assert gate.check(api) == []


def fields_of(folder, text, name="B"):
    """What a class of the file needs and what it may have, and the notes."""
    api = one(folder, f"{text}\ndef look(x: {name}):\n    'Look something up.'")
    schema = api.properties["x"]
    required = schema.get("required", [])
    return set(required), set(schema["properties"]) - set(required), schema, api.lineage.notes


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("from .base import Base\n@dataclass\nclass B(Base):\n  y: int", "the class 'B', whose base 'Base' is not read"),
        ("import base\nclass B(BaseModel, base.Mixin):\n  y: int", "the class 'B', whose base 'base.Mixin' is not read"),
        ("class A(base.Mixin): pass\n@dataclass\nclass B(A):\n  y: int", "the class 'A', whose base 'base.Mixin' is not"),
        ("Base = make()\n@dataclass\nclass B(Base):\n  y: int", "the class 'B', whose base 'Base' is not read"),
        ("@dataclass\nclass B(B):\n  y: int", "the class 'B', whose base 'B' is not read"),
        ("class A: \n  x: int\nclass B(BaseModel, A):\n  y: int", "whose base 'A' has fields and is no model"),
        ("from .db import BaseModel, CharField\nclass B(BaseModel):\n  name = CharField()", "'B', which is no dataclass"),
        ("BaseModel = make()\nclass B(BaseModel):\n  y: int", "the class 'B', which is no dataclass"),
        ("from .db import dataclass\n@dataclass\nclass B:\n  y: int", "the class 'B', which is no dataclass"),
        ("import attr\n@attr.define\nclass B:\n  x = attr.ib()\n  y: int = attr.ib(default=2)", "whose x has no type"),
        ("import attrs\n@attrs.define\nclass B:\n  x = attrs.field(default=1)", "whose x has no type"),
        ("class B(BaseModel):\n  y: int\n  model_config = {'alias_generator': str.upper}", "alias_generator changes what"),
        ("class B(BaseModel):\n  y: int\n  class Config:\n    alias_generator = str.upper", "alias_generator changes what"),
        ("class B(BaseModel, alias_generator=str.upper):\n  y: int", "alias_generator changes what"),
        ("from msgspec import Struct\nclass B(Struct, rename='camel'):\n  y: int", "whose rename changes what"),
        ("class B(BaseModel):\n  y: int = Field(validation_alias=other)", "whose y has a validation_alias that is no text"),
    ],
)  # fmt: skip
def test_fields_that_are_not_known_are_not_guessed(tmp_path, text, says):
    (reason,) = read(tmp_path, f"{text}\ndef look(x: B): 'Look something up.'")
    assert reason.startswith("look (line ")
    assert says in reason


@pytest.mark.parametrize(
    ("text", "required", "optional"),
    [
        ("class B(BaseModel, t.Generic[T], t.Protocol):\n  y: int", {"y"}, set()),
        ("from abc import ABC\n@dataclass\nclass B(ABC, object):\n  y: int", {"y"}, set()),
        ("class Mixin:\n  def _save(self): ...\nclass B(BaseModel, Mixin):\n  y: int", {"y"}, set()),
        # An undecorated class below a dataclass takes what the dataclass takes.
        ("@dataclass\nclass A:\n  x: int\nclass B(A):\n  y: int", {"x"}, set()),
        ("@dataclass\nclass A:\n  x: int\n@dataclass\nclass B(A):\n  y: int", {"x", "y"}, set()),
        ("class A(BaseModel):\n  x: int\nclass B(A):\n  y: int", {"x", "y"}, set()),
        ("class A(t.NamedTuple):\n  x: int\nclass B(A):\n  y: int", {"x"}, set()),
        ("@dataclass\nclass A:\n  x: int = 1\n@dataclass\nclass C:\n  x: int\n@dataclass\nclass B(A, C):\n  y: int", {"y"}, {"x"}),
        ("@dataclass\nclass B:\n  _x: int\n  _y: int = 0\n  _: KW_ONLY\n  z: int", {"_x", "z"}, set()),
        ("import attrs\n@attrs.define\nclass B:\n  _x: int", {"x"}, set()),
        ("class B(BaseModel):\n  y: int = ...\n  z: int = Field(default=...)", {"y", "z"}, set()),
        ("class B(BaseModel):\n  y: int = Field(validation_alias='why', alias='no')", {"why"}, set()),
        ("from msgspec import Struct, field\nclass B(Struct):\n  y: int = field(name='why')", {"why"}, set()),
        ("class B(BaseModel):\n  y: int\n  model_config = ConfigDict(alias_generator=f, populate_by_name=True)", {"y"}, set()),
        ("class B(TypedDict):\n  x: t.ReadOnly[NotRequired[int]]\n  y: 'NotRequired[int]'\n  z: Annotated[int, 'z']", {"z"}, {"x", "y"}),
        ("@dataclass\nclass B:\n  x: 't.ClassVar[int]'\n  y: int", {"y"}, set()),
    ],
)  # fmt: skip
def test_fields_are_those_that_python_takes(tmp_path, text, required, optional):
    assert fields_of(tmp_path, text)[:2] == (required, optional)


def test_what_a_class_says_besides_its_fields_is_carried_or_told(tmp_path):
    forbid = "class A(BaseModel):\n  x: int\n  model_config = ConfigDict(extra='forbid')\nclass B(A):\n  y: int\n"
    assert fields_of(tmp_path, forbid)[2]["additionalProperties"] is False
    assert "additionalProperties" not in fields_of(tmp_path, forbid + "  model_config = {'extra': 'ignore'}")[2]
    assert fields_of(tmp_path, "class B(BaseModel):\n  x: int\n  class Config:\n    extra = Extra.forbid")[2][
        "additionalProperties"
    ] is False  # fmt: skip
    for text, note in (
        ("L = 3\n@dataclass\nclass B:\n  y: int = L + 1", "defaults that are no plain values: B.y"),
        (
            "@dataclass\nclass B:\n  y: list[int] = field(default_factory=make)",
            "defaults that are no plain values: B.y",
        ),
        ("class B(BaseModel):\n  y: int\n  z = 3", "left out, without a type: B.z"),
        ("class B(BaseModel):\n  y: int\n  model_config = CONFIG", "a configuration that is not read: B"),
        ("@dataclass\nclass B:\n  y: int\n  def __init__(self, z): ...", "an __init__ of its own, not looked at: B"),
        ("@dataclass\nclass B:\n  y: int\n  _z: int = 0", "left out, optional and private: B._z"),
    ):
        assert note in fields_of(tmp_path, text)[3]


@pytest.mark.parametrize(
    ("body", "values"),
    [
        ("Enum):\n  A: str = 'a'\n  B = 'b'\n  C = D = 'c'\n  X, Y = 'x', 'y'\n  _Z = 'z'\n  _ignore_ = []", "abcxyz"),
        ("Enum):\n  A, B = make()", "whose A is no plain value"),
        ("Enum):\n  A, *B = 'a', 'b'", "whose A is no plain value"),
        ("str, Enum):\n  A = 1", "whose A is no plain value"),
        ("str, Enum):\n  A = auto()", "whose A is no plain value"),
        ("int, Enum):\n  A = 'a'", "whose A is no plain value"),
        ("other.Base, Enum):\n  A = auto()", "whose A is no plain value"),
        ("Base):\n  A = auto()", "whose A is no plain value"),
        ("Enum):\n  def _generate_next_value_(name, *_): return name\n  A = auto()", "whose A is no plain value"),
        ("other.Enum):\n  A = 'a'", "the class 'E', which is no dataclass"),
    ],
)
def test_the_members_of_an_enum_are_all_there_or_none(tmp_path, body, values):
    (item,) = read(tmp_path, f"class Base(StrEnum): pass\nclass E({body}\ndef look(x: E): 'Look something up.'")
    if " " in values:
        assert values in item
    else:
        assert item.properties["x"]["enum"] == [*values]


@pytest.mark.parametrize("functions", [("a: C5", "b: C30 = None"), ("b: C30 = None", "a: C5")])
def test_what_a_class_is_does_not_depend_on_what_was_read_before(tmp_path, functions):
    chain = "class C0(BaseModel):\n  x0: int\n" + "".join(
        f"class C{level}(C{level - 1}):\n  x{level}: int\n" for level in range(1, 31)
    )
    text = "".join(f"def f{takes[0]}({takes}, z: int = 0): 'Look something up.'\n" for takes in functions)
    found = {item.name: set(item.properties) for item in read(tmp_path, chain + text)}
    assert found == {"fa": {"a", "z"}, "fb": {"z"}}
    (reason,) = read(tmp_path, chain + "def f(x: C30): 'Look something up.'")
    assert "the class 'C30', with more than 24 classes above it" in reason


def test_methods_have_dotted_names(tmp_path):
    items = read(
        tmp_path,
        """
class Shop:
    def __init__(self, url: str): ...
    def find(self, name: str) -> str:
        "Find a thing in the shop."
    @classmethod
    def opened(cls, day: str) -> bool:
        "Tell whether it is open."
    @staticmethod
    def price(thing: str) -> float:
        "Tell the price of a thing."
    @property
    def url(self) -> str: ...
    async def order(self, /, thing: str) -> None:
        "Order a thing there."
    def _hidden(self): ...
    class Till:
        def pay(self, sum: float) -> None:
            "Pay a sum of money."
class _Private:
    def f(self): ...
""",
    )
    names = ["Shop.find", "Shop.opened", "Shop.price", "Shop.order", "Shop.Till.pay"]
    assert [api.lineage.operation for api in items] == names
    assert [api.name for api in items] == [name.replace(".", "_") for name in names]
    assert [list(api.properties) for api in items] == [["name"], ["day"], ["thing"], ["thing"], ["sum"]]
    assert items[0].domain == ("Desk", "Shop")
    assert items[3].returns == {"type": "null", "description": "Nothing"}
    assert [gate.check(api) for api in items] == [[]] * 5


def test_public_is_what_the_file_says(tmp_path):
    text = "def a(x: int): 'Take one thing.'\ndef _b(x: int): ...\ndef c(x: int): 'Take another one.'\n"
    assert [api.name for api in read(tmp_path, text)] == ["a", "c"]
    assert [api.name for api in read(tmp_path, text + "__all__ = ['c']")] == ["c"]
    assert [api.name for api in read(tmp_path, text + "__all__ = ['c']\n__all__ += ['a']")] == ["a", "c"]
    assert [api.name for api in read(tmp_path, text + "__all__ = other.names()")] == ["a", "c"]
    assert [api.name for api in read(tmp_path, text + "__all__: list[str] = ['c']")] == ["c"]
    assert [api.name for api in read(tmp_path, text + "__all__: list[str]")] == ["a", "c"]
    grown = "__all__ = ['x']\n__all__.extend(['c'])\n__all__.append('a')\n"
    assert [api.name for api in read(tmp_path, text + grown)] == ["a", "c"]
    assert [api.name for api in read(tmp_path, text + grown + "__all__.remove('c')")] == ["a"]
    assert [api.name for api in read(tmp_path, text + "__all__ = ['c']\n__all__.extend(other.names())")] == ["a", "c"]


def test_functions_in_branches_are_found_and_of_overloads_the_last(tmp_path):
    text = """
try:
    import fast
except ImportError:
    def a(x: int): 'Take one thing.'
else:
    if fast:
        def b(x: int): 'Take another one.'
@t.overload
def c(x: int): ...
def c(x: str): 'Take the third one.'
"""
    a, b, c = read(tmp_path, text)
    assert (a.name, b.name, c.name) == ("a", "b", "c")
    assert c.properties["x"]["type"] == "string"


def test_of_two_classes_of_one_name_the_methods_of_the_later_come_in(tmp_path):
    text = "class A:\n    def {0}(self, x: int): 'Take one thing.'\n"
    assert [api.name for api in read(tmp_path, text.format("old") + text.format("new"))] == ["A_new"]
    inner = textwrap.indent(text, "    ")
    (reason,) = read(tmp_path, f"if t.x:\n{inner.format('old')}else:\n{inner.format('new')}")
    assert reason.startswith("A (line 14): its branches define it in several ways (lines 14, 17)")


IN_BRANCHES = """
if sys.argv:
    def f(a: int, b: int): 'Take two things.'
elif sys.path:
    {other}
"""


@pytest.mark.parametrize("branches", [
    IN_BRANCHES,
    IN_BRANCHES.replace("elif sys.path", "else"),
    "try:\n    def f(a: int, b: int): 'Take two things.'\nexcept ImportError:\n    {other}\n",
    "match sys.argv:\n  case []:\n    def f(a: int, b: int): 'Take two things.'\n  case _:\n    {other}\n",
    "def f(a: int, b: int): 'Take two things.'\nwhile sys.argv:\n    {other}\n",
])  # fmt: skip
def test_which_of_several_branches_holds_is_never_guessed(tmp_path, branches):
    (reason,) = read(tmp_path, branches.format(other="def f(a: int): 'Take one thing.'"))
    assert reason.startswith("f (line ")
    assert "its branches define it in several ways (lines " in reason
    for other in ("def f(a: int, b: int): 'Do the same in another way.'", "from fast import f", "f = None"):
        (api,) = read(tmp_path, branches.format(other=other))
        assert (api.description, list(api.properties)) == ("Take two things.", ["a", "b"])
        assert any(note.startswith("its name is bound in another branch, too: line ") for note in api.lineage.notes)
    # What comes after all branches holds.
    (api,) = read(tmp_path, branches.format(other="def f(a: int): 'Take one thing.'") + "def f(c: int): 'Take that.'")
    assert (list(api.properties), any("another branch" in note for note in api.lineage.notes)) == (["c"], False)


@pytest.mark.parametrize("head", [
    "for x in (1,):", "while sys.argv:", "match 1:\n  case 1:", "try:\n  pass\nexcept* ValueError:", "with lock:",
    "try:\n  import fast\nfinally:",
])  # fmt: skip
def test_functions_in_statements_of_all_kinds_are_found(tmp_path, head):
    api = one(tmp_path, f"{head}\n        def f(a: int): 'Take one thing.'\n")
    assert (api.name, api.lineage.notes[0]) == ("f", "descriptions derived: a")


@pytest.mark.parametrize(
    "after", ["f = None", "del f", "f = staticmethod(f)", "from x import f", "import f", "f, g = 1, 2"]
)
def test_a_name_that_is_bound_anew_is_no_function_any_more(tmp_path, after):
    function = "def f(x: int): 'Take one thing.'\n"
    assert read(tmp_path, f"{function}{after}") == ["f (line 13): line 14 binds its name anew"]
    (reason,) = read(tmp_path, f"class A:\n    {function}    {after}")
    assert reason == "A.f (line 14): line 15 binds its name anew"
    assert one(tmp_path, f"f = 1\n{function}f.cache = {{}}\nf.__doc__ += ''").name == "f"


@pytest.mark.parametrize(
    ("text", "schema"),
    [
        ("try:\n  from enum import Kind\nexcept ImportError:\n  class Kind(str, Enum):\n    A = 'a'", None),
        ("if sys.argv:\n  class Kind(Enum):\n    A = 'a'\nelse:\n  class Kind(Enum):\n    B = 'b'", None),
        ("if sys.argv:\n  Kind = int\nelse:\n  Kind = str", None),
        ("def Kind(): ...", None),
        ("Kind, Other = int, str", None),
        ("Kind = int\ndel Kind", None),
        ("Kind = Other = int", {"type": "integer"}),
        ("class Kind(Enum):\n  A = 'a'\nclass Kind(Enum):\n  B = 'b'", {"type": "string", "enum": ["b"]}),
        ("class Kind(Enum):\n  A = 'a'\nKind = int", {"type": "integer"}),
        ("Kind = int\nfrom uuid import UUID as Kind", {"type": "string", "format": "uuid"}),
        ("try:\n  from uuid import UUID as Kind\nexcept ImportError:\n  Kind = str", {"type": "string", "format": "uuid"}),
    ],
)  # fmt: skip
def test_a_type_is_what_its_name_stands_for_in_the_end(tmp_path, text, schema):
    if schema is not None:
        assert hinted(tmp_path, "Kind", text) == schema
    else:
        assert "has the type 'Kind', which is not read" in read(tmp_path, f"{text}\ndef f(x: Kind): 'Take it.'")[-1]


@pytest.mark.parametrize(
    ("signature", "says"),
    [
        ("frame: pd.DataFrame", "'frame', which a call needs, has the type 'pd.DataFrame', which is not read"),
        ("x", "'x', which a call needs, has no type"),
        ("x: Callable[[int], str]", "has the type 'Callable[[int], str]'"),
        ("x: bytes", "has the type 'bytes'"),
        ("x: tuple[str, bytes]", "has the type 'bytes'"),
        ("x: Plain", "has the class 'Plain', which is no dataclass, TypedDict, pydantic model or Enum"),
        ("x: list[Holder]", "has the class 'Holder', whose frame has the type 'pd.DataFrame'"),
        ("x: Odd", "has the enum 'Odd', whose A is no plain value"),
        ("x: Empty", "has the enum 'Empty', which has no members"),
        ("x: Literal[b'a']", "has a Literal of what is no plain value"),
        ("x: pd.List[int]", "has the type 'pd.List[int]'"),
        ("x: 'int +'", "has the type 'int +'"),
        ("x: 3", "has the type '3'"),
        ("x: Union[()]", "has the type 'Union[()]', which is not read"),
        ("x: Literal[()]", "has the type 'Literal[()]', which is not read"),
        ("x: list[()]", "has the type 'list[()]', which is not read"),
        ("x: list[int, str]", "has the type 'list[int, str]', which is not read"),
        ("x: Optional[int, str]", "has the type 'Optional[int, str]', which is not read"),
        ("x: dict[str]", "has the type 'dict[str]', which is not read"),
        ("*args: int", "nothing of what it takes can be carried: *args"),
        ("*args, **kwargs", "nothing of what it takes can be carried: *args, **kwargs"),
        ("x: pd.Series = None", "nothing of what it takes can be carried: x"),
        ("x: " + "list[" * 60 + "int" + "]" * 60, "has a type of too many parts"),
        ("x: Twice", "has a type of too many parts"),
        ("x: Round", "has a type of too many parts"),
    ],
)
def test_a_function_whose_call_cannot_be_carried_is_refused_and_the_others_stay(tmp_path, signature, says):
    text = """
class Plain:
    x: int
@dataclass
class Holder:
    frame: pd.DataFrame
class Odd(Enum):
    A = object()
class Empty(Enum):
    pass
Twice0 = tuple[int, int]
"""
    text += "".join(f"Twice{level + 1} = tuple[Twice{level}, Twice{level}]\n" for level in range(20))
    text += f"Twice = Twice20\nRound = list[Round]\ndef look({signature}):\n    'Look at it.'\ndef fine(x: int): 'Do what it should.'\n"
    reason, api = read(tmp_path, text)
    assert reason.startswith("look (line ")
    assert says in reason
    assert api.name == "fine"


def test_what_a_call_does_not_need_is_left_out_and_told(tmp_path):
    api = one(
        tmp_path,
        '''
@retry(times=3)
def look(x: int, frame: pd.DataFrame = None, size=10, names=("a",), flag: bool = os.name == "nt", *more: str, **others):
    """Look at what is there.

    Args:
        x: What to look at.
        size: Its size.
        gone: It was there once.

    Note:
        It is slow.

    Example:
        look(3)
    """
''',
    )
    assert api.properties == {
        "x": {"type": "integer", "description": "What to look at."},
        "size": {"type": "integer", "default": 10, "description": "Its size."},
        "names": {"type": "array", "default": ["a"], "description": "Names"},
        "flag": {"type": "boolean", "description": "Flag"},
    }
    assert api.required == ("x",)
    assert "additionalProperties" not in api.parameters
    assert set(api.lineage.notes) == {
        "left out, optional and its type is not read: frame",
        "left out, optional: *more, **others",
        "types taken from defaults: size, names",
        "defaults that are no plain values: flag",
        "described, but no parameter: gone",
        "decorators are not looked at: retry",
        "of the docstring, not carried: Note, examples",
        "descriptions derived: names, flag",
        "nothing is said of the answer, it is given as text",
    }
    assert gate.check(api) == []


UNPACK = """
class M(TypedDict):
    title: str
    "Title of the thing."
    size: NotRequired[int]
    inner: NotRequired["M"]
Alias = M
"""


@pytest.mark.parametrize("hint", ["t.Unpack[M]", "'t.Unpack[M]'"])
def test_keywords_that_a_typed_dict_names_are_parameters(tmp_path, hint):
    text = f"def f(a: int, *, b: str = '', **kw: {hint}):\n    'Do it.\\n\\nArgs:\\n    size: How large.\\n'"
    api = one(tmp_path, UNPACK + text)
    assert (set(api.properties), api.required) == ({"a", "b", "title", "size", "inner"}, ("a", "title"))
    assert api.properties["size"] == {"type": "integer", "description": "How large."}
    assert api.properties["title"]["description"] == "Title of the thing."
    assert api.parameters["additionalProperties"] is False
    assert not any("**kw" in note or "no parameter" in note for note in api.lineage.notes)
    assert set(one(tmp_path, f"{UNPACK}def f(**kw: {hint}): 'Do it.'").properties) == {"title", "size", "inner"}


@pytest.mark.parametrize(
    ("takes", "says"),
    [
        (
            "a: int, **kw: t.Unpack[Other]",
            "'**kw', which says what a call needs, has the type 'Other', which is not read",
        ),
        ("a: int, **kw: t.Unpack[other.M]", "has the type 'other.M', which is not read"),
        ("a: int, **kw: t.Unpack[Place]", "has the type 'Place', which is not read"),
        ("a: int, **kw: t.Unpack[Odd]", "has the class 'Odd', whose x has the type 'bytes', which is not read"),
        ("title: str, **kw: t.Unpack[M]", "'title' is a parameter and in '**kw', too"),
        ("a: int, *args: *tuple[int, str]", "'*args', which says what a call needs, has the type 'tuple[int, str]'"),
        ("a: int, *args: t.Unpack[tuple[int, str]]", "has the type 'tuple[int, str]', which is not read"),
    ],
)
def test_what_is_unpacked_is_carried_or_a_reason(tmp_path, takes, says):
    more = "@dataclass\nclass Place:\n    city: str\nclass Odd(TypedDict):\n    x: bytes\n"
    (reason,) = read(tmp_path, f"{UNPACK}{more}def f({takes}): 'Do it.'")
    assert reason.startswith("f (line ")
    assert says in reason
    api = one(tmp_path, "Ts = t.TypeVarTuple('Ts')\ndef f(a: int, *args: *Ts): 'Do it.'")
    assert "left out, optional: *args" in api.lineage.notes


def test_of_a_union_what_is_not_read_is_left_out_and_told(tmp_path):
    good, reason = read(
        tmp_path,
        """
def send(file: Union[str, bytes, pd.DataFrame]):
    'Send a file to the desk.'
def drop(file: Optional[bytes]):
    'Drop a file at the desk.'
""",
    )
    assert good.properties["file"]["type"] == "string"
    assert "alternatives left out, not read: file (bytes), file (pd.DataFrame)" in good.lineage.notes
    assert "'file', which a call needs, has the type 'bytes', which is not read" in reason


def test_what_json_has_no_word_for_is_told(tmp_path):
    api = one(tmp_path, "def look(day: dt.date, by: dict[int, str], where: tuple[float, float]):\n    'Look at a day.'")
    assert set(api.lineage.notes) >= {
        "types that JSON has no word for, as what is sent for them: day (date), where (tuple)",
        "keys that are texts in JSON: by (int)",
    }


@pytest.mark.parametrize(
    ("default", "schema"),
    [
        ("-1.5", {"type": "number", "default": -1.5}),
        ("[1, 2]", {"type": "array", "default": [1, 2]}),
        ("{'a': (1,)}", {"type": "object", "default": {"a": [1]}}),
        ("Kind.SMALL", {"type": "string", "enum": ["small"], "default": "small"}),
        ("{1, 2}", {"type": "string"}),
        ("b'x'", {"type": "string"}),
        ("...", {"type": "string"}),
        ("1e999", {"type": "string"}),
        ("__import__('os').abort()", {"type": "string"}),
        ("2 ** 10_000_000_000", {"type": "string"}),
    ],
)
def test_defaults_are_literals_or_nothing(tmp_path, default, schema):
    kinds = {"number": "float", "array": "list", "object": "dict", "string": "Kind" if "enum" in schema else "str"}
    more = "class Kind(Enum):\n    SMALL = 'small'\n"
    api = one(tmp_path, f"{more}def look(x: {kinds[schema['type']]} = {default}):\n    'Look at something.'")
    assert {key: value for key, value in api.properties["x"].items() if key != "description"} == schema
    assert api.required == ()


def test_a_field_as_default_says_what_it_says(tmp_path):
    api = one(
        tmp_path,
        "def look(x: int = Field(description='How many', ge=1), y: int = Field(5, le=9)):\n    'Look at something.'",
    )
    assert api.properties["x"] == {"type": "integer", "minimum": 1, "description": "How many"}
    assert api.properties["y"] == {"type": "integer", "maximum": 9, "default": 5, "description": "Y"}
    assert api.required == ("x",)


@pytest.mark.parametrize("hint", ["{}", "'{}'", "t.Required[{}]", "Annotated[{}, 'x']", "Five"])
def test_a_default_in_a_type_is_that_of_the_whole_type(tmp_path, hint):
    five = "Annotated[int, Field(5)]"
    api = one(tmp_path, f"Five = {five}\ndef look(x: {hint.format(five)}): 'Look something up.'")
    assert (api.properties["x"]["default"], api.required) == (5, ())
    for inner in (f"list[{five}]", f"{five} | None", f"dict[str, {five}]", "list[Five]"):
        api = one(tmp_path, f"Five = {five}\ndef look(x: {inner}): 'Look something up.'")
        assert ("default" in api.properties["x"], api.required) == (False, ("x",))
        assert "of a field, not carried: x (default)" in api.lineage.notes


@pytest.mark.parametrize("module", ["typing_extensions", "annotated_doc"])
def test_what_doc_says_in_a_type_is_its_description(tmp_path, module):
    api = one(
        tmp_path, f"from {module} import Doc\ndef look(x: Annotated[int, Doc('How many.')]): 'Look something up.'"
    )
    assert api.properties["x"] == {"type": "integer", "description": "How many."}
    api = one(tmp_path, "from .own import Doc\ndef look(x: Annotated[int, Doc('How many.')]): 'Look something up.'")
    assert "of Annotated, not carried: x (Doc('How many.'))" in api.lineage.notes


DOCUMENTED = "def {name}(x: int, y{default}):\n    '''Look it up.\n\n    Args:\n        y ({kind}): It.\n    '''\n"


@pytest.mark.parametrize("kind", ["list of " * 100 + "int", "list of " * 40 + "int", "list[" * 60 + "int" + "]" * 60])
def test_a_type_in_a_docstring_that_nests_too_deep_is_refused_or_left_out(tmp_path, kind):
    text = DOCUMENTED.format(name="f", default="", kind=kind) + DOCUMENTED.format(name="g", default="=None", kind=kind)
    reason, api = read(tmp_path, text)
    assert "'y', which a call needs, has a type of too many parts" in reason
    assert (list(api.properties), "left out, optional and its type is not read: y" in api.lineage.notes) == (
        ["x"],
        True,
    )


@pytest.mark.parametrize(
    ("kind", "hint"),
    [("set of int", "set[int]"), ("set", "set"), ("tuple of str", "tuple[str, ...]"), ("list of set of int", "list[set[int]]")],
)  # fmt: skip
def test_a_type_in_a_docstring_says_what_the_hint_says(tmp_path, kind, hint):
    api = one(tmp_path, DOCUMENTED.format(name="f", default="", kind=kind))
    same = one(tmp_path, DOCUMENTED.format(name="f", default=f": {hint}", kind=kind))
    assert api.properties == same.properties
    assert {*api.lineage.notes} - {*same.lineage.notes} == {"types taken from the docstring: y"}
    assert {*same.lineage.notes} <= {*api.lineage.notes}


def test_what_keys_must_be_is_carried_or_told(tmp_path):
    schema = hinted(tmp_path, "dict[Literal['a', 'b'], int]")
    assert {key: item["type"] for key, item in schema["properties"].items()} == {"a": "integer", "b": "integer"}
    assert (schema.get("required", []), schema["additionalProperties"]) == ([], False)
    api = one(tmp_path, "def look(x: dict[Annotated[str, Field(pattern='^a')], int]): 'Look something up.'")
    assert "of keys, not carried: x (Annotated[str, Field(pattern='^a')])" in api.lineage.notes


@pytest.mark.parametrize(
    ("returns", "schema"),
    [
        ("", {"type": "string", "description": "Text"}),  # as of an MCP tool without outputSchema
        (" -> str", {"type": "string"}),
        (" -> None", {"type": "null", "description": "Nothing"}),
        (" -> Iterator[int]", {"type": "array", "items": {"type": "integer"}}),
        (" -> t.Awaitable[int]", {"type": "integer"}),
        (" -> pd.DataFrame", {"type": "string", "description": "Text"}),
        (" -> Any", {"type": "string", "description": "Text"}),
    ],
)
def test_what_a_function_returns(tmp_path, returns, schema):
    api = one(tmp_path, f"def look(x: int){returns}:\n    'Look at something.'")
    assert api.returns == schema
    told = any("the answer is given as text" in note for note in api.lineage.notes)
    assert told == (returns in (" -> pd.DataFrame", " -> Any"))
    assert any("nothing is said of the answer" in note for note in api.lineage.notes) == (not returns)
    assert gate.check(api) == []


def test_what_is_not_described_follows_the_key(tmp_path):
    api = one(tmp_path, "def findRooms(maxPrice: float): pass")
    assert (api.description, api.properties["maxPrice"]["description"]) == ("Find rooms (Desk).", "Max price")
    assert {"description derived", "descriptions derived: maxPrice"} <= set(api.lineage.notes)
    refused = one(tmp_path, "def findRooms(maxPrice: float): pass", undescribed="refuse")
    assert {verdict.rule for verdict in gate.check(refused)} == {"description", "parameter_description"}


# Hostile files -------------------------------------------------------------------------------------------------------


def test_nothing_of_a_file_is_run(tmp_path):
    mark = tmp_path / "mark"
    run = f"open({str(mark)!r}, 'w')"
    text = f"""
{run}
import this_module_is_nowhere
@{run}
def look(x: int = {run}, y: "{run}" = 3, z: list[{run}] = None) -> {run}:
    'Look at something.'
class A(metaclass={run}):
    {run}
    def find(self, x: int): 'Find something there.'
"""
    items = read(tmp_path, text)
    assert [api.name for api in items] == ["look", "A_find"]
    assert list(items[0].properties) == ["x"]
    assert not mark.exists()
    assert "this_module_is_nowhere" not in sys.modules


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"def f(:", "line 1: no Python of version"),
        (b"def f():\nreturn", "line 2: no Python of version"),
        (b"print 'x'", "no Python of version"),
        (b"x = '\x00'", "null bytes"),
        (b"x = '\xff'", "not UTF-8 text"),
        ("x = 1".encode("utf-16"), "UTF-16"),
        (b"(" * 5000 + b")" * 5000, "no Python of version"),
        (b"x = " + b"-" * 100_000 + b"1", "nests too deep"),
        (b"x = a" + b".a" * 100_000, "nests too deep"),
        (b"x = " + b"1 + " * 100_000 + b"1", "nests too deep"),
        (b"x = " + b"9" * 10_000, "no Python of version"),
        (b"".join(b" " * level + b"if x:\n" for level in range(200)) + b" " * 200 + b"x", "no Python of version"),
        (b"x = 1\n" * 200_000, "the limit is"),
    ],
)
def test_a_file_that_is_no_python_is_named(tmp_path, data, says):
    path = tmp_path / "a.py"
    path.write_bytes(data)
    with pytest.raises(UserError) as error:
        list(specs.import_python(str(path)))
    assert str(error.value).startswith(str(path))
    assert says in str(error.value)
    (row,) = _file_rows("python", str(path), Limits(6000, 1 << 20, "text"))
    assert row["kind"] == "unread"


def test_a_byte_order_mark_and_odd_escapes_are_read(tmp_path, recwarn):
    path = tmp_path / "a.py"
    path.write_bytes(b"\xef\xbb\xbf# coding: utf-8\r\nX = '\\d'\r\ndef look(x: int):\r\n    'Look at something.'\r\n")
    (api,) = specs.import_python(str(path))
    assert gate.check(api) == []
    assert not recwarn.list


@pytest.mark.parametrize(
    "text",
    [
        "class A(A):\n    x: int\ndef look(x: A): 'Look at something.'",
        "class A(B):\n    x: int\nclass B(A):\n    y: int\ndef look(x: A): 'Look at something.'",
        "A = B\nB = A\ndef look(x: A): 'Look at something.'",
        "def look(x: Literal[" + "'a', " * 20_000 + "]): 'Look at something.'",
        "def look(x: " + "int | " * 900 + "str): 'Look at something.'",
        "def look(" + ", ".join(f"p{index}: int" for index in range(500)) + "): 'Look at something.'",
        "def look(" + ", ".join(f"p{index}: int = 0" for index in range(500)) + "): 'Look at something.'",
        "def look(x: int = " + "[" * 90 + "]" * 90 + "): 'Look at something.'",
        "def " + "l" * 5000 + "(x: int): 'Look at something.'",
        "def look(x: int): 'Look at a \\ud800.'",
        "def look(x: 'Literal[\"\\ud800\"]'): 'Look at something.'",
        "def look(x: Literal['\\ud800']): 'Look at something.'",
        "def lück(größe: int): 'Look at something.'",
        "@dataclass\nclass A:\n"
        + "".join(f"    x{i}: 'A'\n" for i in range(300))
        + "def look(x: A): 'Look at something.'",
        "def look(x: int):\n    '''Look.\n\n    :param:\n    ::\n    :type x:\n    '''",
        "def look(x: int):\n    '''Look.\n\n    Args:\n\n    Args:\n    Parameters\n    ----------\n    '''",
    ],
)
def test_odd_functions_give_an_api_or_a_reason(tmp_path, text):
    path = tmp_path / "a.py"
    path.write_text(HEAD + text)
    rows = list(_file_rows("python", str(path), Limits(6000, 1 << 20, "text")))
    assert len(rows) == 1
    assert rows[0]["kind"] in ("api", "refused")
    assert len(str(rows[0]["text"])) < 100_000


def test_a_docstring_that_would_take_the_library_long_is_a_description_alone():
    """One line of brackets: a thousand of them in a section took the expressions seconds, and ten times as many take a
    thousand times as long."""
    text = "Look at something.\n\nArgs:\n    " + "(" * 10_000 + ": x\n"
    read = python_docs.Docstrings().read(text, ["x"])
    assert read.description.startswith("Look at something.\n\nArgs:")
    assert read.left_out == ("sections, since it is too long",)
    long = "Look at something. " * 600 + "(x) (y)\n\nArgs:\n    x: A thing " + "(one) " * 300
    assert python_docs.Docstrings().read(long, ["x"]).parameters["x"][0].startswith("A thing (one)")


def test_the_docstrings_of_a_file_cost_no_more_together_than_a_few_of_the_longest(tmp_path):
    """Each of these keeps the limit of one docstring: a file of them took minutes."""
    text = 'def f{0}(x: int):\n    """Look at something.\n\n    Args:\n        ' + "(" * 150 + 'x: {0}\n    """\n'
    apis = read(tmp_path, "".join(text.format(number) for number in range(200)))
    told = ["of the docstring, not carried: sections, since the file has too many" in api.lineage.notes for api in apis]
    assert told == sorted(told)
    assert 40 <= told.count(False) < 100


def calls_of(function):
    """How many Python functions and generators are entered while a function runs."""
    entered = Counter()
    sys.setprofile(lambda frame, event, argument: entered.update([event]))
    try:
        function()
    finally:
        sys.setprofile(None)
    return entered["call"]


def test_a_docstring_of_many_parts_costs_as_much_as_its_length():
    def cost(parts):
        text = "Look at something.\n\nRaises\n------\n" + "Fault\n" * parts
        return calls_of(lambda: python_docs.Docstrings().read(text, ()))

    assert cost(1600) < 6 * cost(400)


MANY = f"Many = Union[{', '.join(f'Literal[{value}]' for value in range(400))}]\n"


@pytest.mark.parametrize(
    ("hint", "more"),
    [
        ("Many", MANY),
        ("list[Many] | None", MANY),
        ("Many", f"Many = Literal[{', '.join(map(str, range(1000)))}]\n"),
        ("Many", "class Many(Enum):\n" + "".join(f"    A{value} = {value}\n" for value in range(1000))),
        ("Many", f"Many = '{'(' * 90 + 'int' + ')' * 90 + ' ' * 1800}'\n"),
        (
            "Many399",
            "".join(
                f"@dataclass\nclass Many{number}:\n    x: 'Many{abs(number - 1)}' = None\n" for number in range(400)
            ),
        ),
    ],
)
def test_the_types_of_a_file_have_a_limit_together(tmp_path, monkeypatch, hint, more):
    """An alias of a few thousand characters stands for hundreds of parts wherever it is written."""
    monkeypatch.setattr(python_types, "MAX_FILE_PARTS", 5000)
    text = "".join(f"def f{number}(x: {hint}): 'Look at something.'\n" for number in range(100))
    items = read(tmp_path, more + text)
    told = ["of a file whose types have more than" in str(item) for item in items]
    assert told == sorted(told)
    assert 1 <= told.count(False) < 50


def test_of_a_type_that_is_too_large_nothing_comes_in(tmp_path):
    (reason,) = read(tmp_path, "def look(x: " + "Union[" + ", ".join(f"Literal[{n}]" for n in range(2000)) + "]): ...")
    assert "has a type of too many parts" in reason


def test_a_union_costs_as_much_as_its_length(tmp_path, monkeypatch):
    compared = []

    class Compared(int):
        __hash__ = int.__hash__

        def __eq__(self, other):
            compared.append(self)
            return int.__eq__(self, other)

    monkeypatch.setattr(python_types.ast, "literal_eval", lambda node: Compared(node.value))
    assert len(hinted_alone("Union[" + ", ".join(f"Literal[{value}]" for value in range(400)) + "]")["anyOf"]) == 400
    assert len(compared) < 4000


ATOMS = st.sampled_from(
    ["int", "str", "None", "A", "B", "T", "Any", "list", "dict", "Literal", "Optional", "tuple", "set", "Kind", "Kind.X", "'A'", "'int |'", "'a'",
     "1", "-1", "...", "1e999", "b'a'", "x.y", "f()", "(lambda: 0)", "Field()", "{1: 2}", "[]", "(not x)"]
)  # fmt: skip
GENERIC = st.sampled_from(
    ["list", "dict", "Literal", "Optional", "Union", "Annotated", "tuple", "set", "A", "Required", "x.y"]
)
EXPRESSIONS = st.recursive(
    ATOMS,
    lambda below: st.one_of(
        st.builds("{}[{}]".format, GENERIC, below),
        st.builds("{}[{}, {}]".format, GENERIC, below, below),
        st.builds("{} | {}".format, below, below),
        st.builds("Annotated[{}, Field({}={})]".format, below, st.sampled_from(["ge", "max_length", "pattern", "default", "alias", "description"]), below),
    ),
    max_leaves=6,
)  # fmt: skip
FILE = """
T = TypeVar("T")
B = {alias}
class Kind(Enum):
    X = {value}
class A(BaseModel):
    "A thing."
    y: {field} = {value}
    z: {field}

def look(x: {hint}, w: {hint} = {value}) -> {returns}:
    {doc!r}
"""
DOCS = st.lists(
    st.sampled_from(["Look at it.", "\n", "\n\n", "Args:", "    x: y", "    x (int): y", ":param x: y", ":type", "Parameters", "----------",
                     "x : int", "Returns:", "Raises:", "::", " ", "-------", "Returns", ">>> x", "x, y : {'a'}", "(", ":", "    "]),
    max_size=14,
).map("".join)  # fmt: skip


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(alias=EXPRESSIONS, value=EXPRESSIONS, field=EXPRESSIONS, hint=EXPRESSIONS, returns=EXPRESSIONS, doc=DOCS)
def test_no_hint_default_or_docstring_breaks_the_reader(tmp_path, **parts):
    path = tmp_path / "a.py"
    path.write_text(FILE.format(**parts))
    (row,) = _file_rows("python", str(path), Limits(6000, 1 << 20, "text"))
    assert row["kind"] in ("api", "refused")
    if row["kind"] == "api" and not json.loads(row["verdicts"] or "[]"):
        assert gate.check(Api.model_validate_json(row["text"])) == []


# Configuration -------------------------------------------------------------------------------------------------------


def test_files_folders_and_installed_modules_are_found_and_not_imported(tmp_path, monkeypatch):
    package = tmp_path / "site" / "remote_desk"
    (package / "inner").mkdir(parents=True)
    trap = "raise SystemExit('imported')\n"
    (package / "__init__.py").write_text(trap + "def start(x: int): 'Start the desk.'\n")
    (package / "inner" / "__init__.py").write_text(trap)
    (package / "inner" / "part.py").write_text(trap + "def look(x: int): 'Look at something.'\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.chdir(tmp_path)

    def found(*names):
        return [str(Path(path).relative_to(package)) for path in sources.files(SourcesConfig(python=names))["python"]]

    assert found("remote_desk") == ["__init__.py", "inner/__init__.py", "inner/part.py"]
    assert found("remote_desk.inner.part") == ["inner/part.py"]
    assert found(str(package / "inner")) == ["inner/__init__.py", "inner/part.py"]
    assert found(str(package / "*.py")) == ["__init__.py"]
    assert sources.named(SourcesConfig(python=("remote_desk.inner.part", "remote_desk")))["python"] == [
        str(package / "inner/part.py")
    ]
    assert not any(name.startswith("remote_desk") for name in sys.modules)
    (start,) = specs.import_python(str(package / "__init__.py"))
    assert start.domain == ("Remote_desk",)
    for name in ("no_such_module", "remote_desk.gone", "remote_desk.inner.part.gone", "math"):
        with pytest.raises(UserError, match=rf"^sources\.python: {name}: .* no installed module of this name"):
            sources.files(SourcesConfig(python=(name,)))
    for name in ("no_such.py", "no/such.py", "no_*"):
        with pytest.raises(UserError, match=r"^sources\.python: .*matches no file ending in \.py"):
            sources.files(SourcesConfig(python=(name,)))


def test_a_module_of_the_standard_library_is_read():
    (path,) = sources.files(SourcesConfig(python=("textwrap",)))["python"]
    items = {item.name: item for item in specs.import_python(path) if isinstance(item, Api)}
    reasons = [item for item in specs.import_python(path) if isinstance(item, str)]
    assert any("'text', which a call needs, has no type" in reason for reason in reasons)
    assert all(gate.check(item) == [] for item in items.values())


def test_the_example_passes_the_gate():
    find, schedule = specs.import_python(str(ROOT / "examples/specs/garden.py"))
    assert (find.name, schedule.name) == ("find_beds", "Watering_schedule")
    assert [gate.check(find), gate.check(schedule)] == [[], []]


def test_python_files_alone_are_a_source(tmp_path):
    (tmp_path / "a.py").write_text("def look(x: int):\n    'Look at something.'\n")
    tree = {
        "run": {"path": str(tmp_path / "run")},
        "pools": {"small": {"engine": "simulated"}},
        "sources": {"python": [str(tmp_path / "a.py")]},
    }
    (tmp_path / "config.yaml").write_text(json.dumps(tree))
    done = CliRunner().invoke(main, ["check", "--config", str(tmp_path / "config.yaml")])
    assert done.exit_code == 0, done.output
    assert "files: python 1; 1 APIs imported" in done.output
    (tmp_path / "a.py").write_text("def look(x: int:\n")
    for command in ("evolve", "check"):
        done = CliRunner().invoke(main, [command, "--config", str(tmp_path / "config.yaml")])
        assert done.exit_code == 2
        assert done.output.startswith(f"error: {tmp_path / 'a.py'}: line 1: no Python of version")
        assert done.output.count("\n") == 1
    assert not (tmp_path / "run" / "run.yaml").exists()


def test_the_limit_of_a_source_is_the_readers(tmp_path):
    path = tmp_path / "a.py"
    path.write_text("#" * python_files.MAX_SOURCE)
    assert list(specs.import_python(str(path))) == []
