"""The rule layer against the seeded defects, and against dialogs that are right."""

import json
from collections import Counter
from functools import cache

import pytest

from tests.defects import (
    BASE,
    CONFIG,
    DIALECT,
    EXPECTED,
    KINDS,
    OF_STRANGERS,
    ROWS,
    as_row,
    spoilt,
    spoilt_rows,
    unfiltered,
)
from toolace_ray.config.tree import VerifyConfig
from toolace_ray.corpus.formats import WRITERS
from toolace_ray.corpus.verification import verify_row
from toolace_ray.dlv.layer import registered, rejects, run_rules
from toolace_ray.dlv.registry import RULES

FEWEST = 3  # dialogs that a kind spoils, and a rule must tell


def told(verdicts):
    return {verdict.rule for verdict in verdicts}


@cache
def made(kind):
    return [item for dialog in BASE.values() for item in spoilt(kind, dialog)]


@cache
def made_rows(kind):
    return [(form, json.dumps(row)) for dialog in BASE.values() for form, row in spoilt_rows(kind, dialog)]


def missed(kind, config=CONFIG, most=None):
    """(the rules that did not tell what they must, the dialog or row) of a kind."""
    if kind in KINDS:
        found = [(EXPECTED[kind] - told(run_rules(item, config)), item) for item in made(kind)[:most]]
    else:
        found = [
            (EXPECTED[kind] - told(verify_row(row, form, config).verdicts), row) for form, row in made_rows(kind)[:most]
        ]
    return [(rules, item) for rules, item in found if rules]


@pytest.mark.parametrize("name", BASE)
def test_what_is_spoilt_was_good(name):
    assert run_rules(BASE[name], CONFIG) == []
    for form in WRITERS:
        found = verify_row(as_row(BASE[name], form), form, CONFIG)
        assert found.accepted
        assert not found.verdicts


@pytest.mark.parametrize("kind", EXPECTED)
def test_every_seeded_defect_is_told_by_its_rules(kind):
    assert len(made(kind) if kind in KINDS else made_rows(kind)) >= FEWEST
    wrong = missed(kind)
    assert not wrong, wrong[0]


@pytest.mark.parametrize("form", WRITERS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_seeded_defect_is_told_by_its_rules_in_a_strangers_dialog(kind, form):
    expected = OF_STRANGERS.get((kind, form), OF_STRANGERS.get(kind, EXPECTED[kind]))
    for item in made(kind):
        row = as_row(item, form)
        found = verify_row(row, form, CONFIG)
        assert expected <= told(found.verdicts), row
        assert found.accepted is not any(RULES[rule].severity == "reject" for rule in expected), row


@pytest.mark.parametrize("kind", ROWS)
def test_no_bad_writing_is_accepted(kind):
    for form, row in made_rows(kind):
        assert not verify_row(row, form, CONFIG).accepted, row


STRANGERS_ALONE = {"inferred_values", "claimed_call"}  # rules that leave dialogs with a plan to others


@pytest.mark.parametrize("rule", [rule.id for rule in registered()])
def test_a_rule_that_is_switched_off_is_missed(rule):
    off = VerifyConfig(decontaminate=CONFIG.decontaminate, rules={rule: "off"})
    if rule in STRANGERS_ALONE:
        (kind,) = (kind for kind, rules in OF_STRANGERS.items() if rule in rules)
        for form in WRITERS:
            rows = [as_row(item, form) for item in made(kind)]
            assert len(rows) >= FEWEST
            assert all(rule in told(verify_row(row, form, CONFIG).verdicts) for row in rows)
            assert not any(rule in told(verify_row(row, form, off).verdicts) for row in rows)
        return
    kinds = [kind for kind, rules in EXPECTED.items() if rule in rules]
    assert kinds
    for kind in kinds:
        assert [rules for rules, _ in missed(kind, off, FEWEST)] == [{rule}] * FEWEST


def test_every_kind_has_its_rules():
    assert set(EXPECTED) == {*KINDS, *ROWS, DIALECT}
    assert all(EXPECTED.values())


def test_of_a_thousand_clean_dialogs_less_than_five_are_rejected():
    """The dialogs are played with all rules switched off, so that those that a rule would stop are among them."""
    dialogs, fallen = unfiltered(1026)
    assert not fallen, fallen
    wrong = Counter()
    for dialog in dialogs:
        found = [rejects(run_rules(dialog, CONFIG))]
        found += [
            [v for v in verify_row(as_row(dialog, form), form, CONFIG).verdicts if v.severity == "reject"]
            for form in WRITERS
        ]
        wrong.update(verdict.rule for verdicts in found for verdict in verdicts[:1])
    # The one that is: the date that is to be missing is by chance the day that the system prompt tells.
    assert sum(wrong.values()) < 0.005 * len(dialogs), wrong
