import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolace_ray.schemas.draw import instance
from toolace_ray.schemas.patterns import MAX_LENGTH, sample
from toolace_ray.schemas.validate import errors


@pytest.mark.parametrize(
    "pattern",
    [r"^\d+$", r"^[A-Z]{2}$", r"^[a-zA-Z]{2}$", r"^AS\d{1,6}$", r"^(\d{4})-(\d{2})$", r"^[^/\s]+/[^/]+$", r"^#(?:[0-9a-f]{3}){1,2}$",
     r"^\w+@\w+\.[a-z]{2,}$", r"^(a|b|cc)*?x$", r"^/v1/accounts", r"^.{3,5}$", r"^[\w.-]+$", "^[一-龥]{2}$"],
)  # fmt: skip
@given(seed=st.integers(0, 1 << 20))
def test_a_pattern_is_answered(pattern, seed):
    schema = {"type": "string", "pattern": pattern}
    assert re.search(pattern, sample(pattern, random.Random(seed)))
    assert errors(schema, instance(schema, random.Random(seed))) == []


@pytest.mark.parametrize(
    "pattern", ["(", r"(a{50}){50}", r"((((a{9}){9}){9}){9}){9}", "a{3000}", r"[^\s\S]", "(" * 3000]
)
def test_what_cannot_be_answered_ends(pattern):
    text = sample(pattern, random.Random(0))
    assert text is None or len(text) <= MAX_LENGTH
