"""Texts made to be slow to read: each is looked at once, whatever it holds."""

import pytest

from toolace_ray.engines.dialect import extracted
from toolace_ray.records.api import Api
from toolace_ray.records.describe import purpose
from toolace_ray.records.json import LimitExceeded, check_text

QUOTES = "[" * 70 + '"' + '\\"' * (1 << 19)  # a string that never ends, of quotes that are none


def test_a_string_that_does_not_end_is_looked_at_once():
    """A search from each of its quotes would take the better part of an hour."""
    with pytest.raises(LimitExceeded, match="nest deeper"):
        check_text(QUOTES, max_chars=1 << 21)


@pytest.mark.parametrize("text", ['"[[[[" [[', '"\\"[[[[" [[', '[["'])
def test_brackets_within_strings_do_not_count(text):
    check_text(text, max_depth=2)


@pytest.mark.parametrize("text", ['"\\\\" [[[', '[[["', '"[[['])
def test_brackets_outside_of_strings_and_in_broken_ones_count(text):
    with pytest.raises(LimitExceeded):
        check_text(text, max_depth=2)


def test_blanks_are_looked_at_once():
    api = Api(name="a", description="Finds" + " " * 200_000 + "a thing.", parameters={}, returns={})
    assert purpose(api) == "Finds a thing."
    assert extracted("```" + "\n" * 200_000) == "```" + "\n" * 200_000
