import datetime
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.material import APIS, BOOK, SEARCH, WEATHER, calls, good_dialogs, result, say, user
from toolace_ray.config.tree import VerifyConfig
from toolace_ray.dlv.layer import registered, rejects, run_rules
from toolace_ray.dlv.registry import RULES
from toolace_ray.records.dialog import Dialog, Message, ToolCall
from toolace_ray.records.kinds import KINDS
from toolace_ray.text.language import language

CONFIG = VerifyConfig()


def found(dialog):
    return {verdict.rule for verdict in rejects(run_rules(dialog, CONFIG))}


def replaced(dialog, index, message):
    messages = list(dialog.messages)
    messages[index] = message
    return dialog.model_copy(update={"messages": tuple(messages)})


def with_arguments(dialog, index, **changes):
    call = dialog.messages[index].tool_calls[0]
    arguments = {**call.arguments, **changes}
    arguments = {name: value for name, value in arguments.items() if value is not ...}
    return replaced(dialog, index, calls((call.id, call.name, arguments)))


@pytest.mark.parametrize("name", good_dialogs())
def test_good_dialogs_pass_every_rule(name):
    assert run_rules(good_dialogs()[name], CONFIG) == []


def test_reading_again_after_a_change_is_no_repetition():
    read = ("get_forecast", {"city": "Lima", "date": "2026-05-02"})
    messages = [
        user("How will the weather be in Lima tomorrow? Then book two seats on TR-1."),
        calls(("c1", *read)), result("c1", "get_forecast", {"summary": "sunny", "high": 24}),
        calls(("c2", "book_seats", {"train_id": "TR-1", "seats": 2})), result("c2", "book_seats", {"booking": "BK-1"}),
        calls(("c3", *read)), result("c3", "get_forecast", {"summary": "sunny", "high": 24}),
        say("Sunny at 24; your booking is BK-1."),
    ]  # fmt: skip
    dialog = GOOD["single"].model_copy(update={"messages": (GOOD["single"].messages[0], *messages)})
    assert "duplicate_calls" not in found(dialog)
    same = dialog.model_copy(update={"messages": (*dialog.messages[:4], *dialog.messages[6:])})
    assert "duplicate_calls" in found(same)


def test_an_empty_list_beside_something_is_not_nothing():
    api = WEATHER.model_copy(
        update={
            "returns": {
                "type": "object",
                "properties": {
                    "price": {"type": "number", "description": "P"},
                    "tags": {"type": "array", "description": "T"},
                },
                "required": ["price", "tags"],
            },
            "example_return": {"price": 1, "tags": []},
        }
    )
    dialog = GOOD["single"].model_copy(update={"tools": (api,)})
    dialog = replaced(
        replaced(dialog, 3, result("c1", "get_forecast", {"price": 12, "tags": []})), 4, say("That is 12 euros.")
    )
    assert found(dialog) == set()
    nothing = replaced(
        replaced(dialog, 3, result("c1", "get_forecast", {"price": 0, "tags": []})), 4, say("Here you are, sunny 0.")
    )
    assert "answer_grounded" not in found(replaced(nothing, 4, say("I found nothing, the price is 0.")))


def test_every_rule_says_what_it_holds():
    assert len(registered()) >= 25
    for rule in registered():
        assert len(rule.doc) > 30, rule.id


GOOD = good_dialogs()
SINGLE, PARALLEL, DEPENDENT = GOOD["single"], GOOD["parallel"], GOOD["dependent"]
BAD_TOOL = WEATHER.model_copy(update={"parameters": {**WEATHER.parameters, "required": ["city", "planet"]}})
DEFECTS = {
    "invalid schema": (SINGLE.model_copy(update={"tools": (WEATHER, BOOK.model_copy(update={"returns": {"type": "strin"}}))}), "api_definition"),
    "required outside properties": (SINGLE.model_copy(update={"tools": (BAD_TOOL,)}), "api_definition"),
    "duplicate tools": (SINGLE.model_copy(update={"tools": (*APIS, WEATHER)}), "duplicate_tools"),
    "api name off by case": (replaced(SINGLE, 2, calls(("c1", "Get_forecast", {"city": "Lima", "date": "2026-05-02"}))), "known_api"),
    "missing argument": (with_arguments(SINGLE, 2, city=...), "required_arguments"),
    "unknown argument": (with_arguments(SINGLE, 2, planet="Lima"), "unknown_arguments"),
    "wrong type": (with_arguments(SINGLE, 2, city=24), "arguments_valid"),
    "number as string": (with_arguments(DEPENDENT, 4, seats="3"), "arguments_valid"),
    "enum": (with_arguments(SINGLE, 2, unit="kelvin"), "arguments_valid"),
    "range": (with_arguments(DEPENDENT, 4, seats=30), "arguments_valid"),
    "format": (with_arguments(SINGLE, 2, date="tomorrow"), "arguments_valid"),
    "invented value": (with_arguments(SINGLE, 2, city="Quito"), "argument_provenance"),
    "relative date wrong": (with_arguments(SINGLE, 2, date="2026-05-05"), "argument_provenance"),
    "placeholder": (with_arguments(SINGLE, 2, city="<city>"), "placeholder_values"),
    "dependent value not from source": (with_arguments(DEPENDENT, 4, train_id="TR-9999"), "argument_provenance"),
    "role order": (SINGLE.model_copy(update={"messages": (SINGLE.messages[0], *SINGLE.messages[2:])}), "role_order"),
    "result without call": (replaced(SINGLE, 2, say("Let me look.")), "role_order"),
    "result under another name": (replaced(SINGLE, 3, result("c1", "book_seats", {"booking": "BK-1"})), "results_match_calls"),
    "too few results": (PARALLEL.model_copy(update={"messages": (*PARALLEL.messages[:4], PARALLEL.messages[5])}), "results_match_calls"),
    "result against schema": (replaced(SINGLE, 3, result("c1", "get_forecast", {"summary": "sunny", "high": "hot"})), "results_valid"),
    "undocumented error": (replaced(SINGLE, 3, result("c1", "get_forecast", {"error": {"code": "500", "message": "x"}})), "results_valid"),
    "duplicate parallel call": (
        replaced(PARALLEL, 2, calls(*[(f"c{i}", "get_forecast", {"city": "Lima", "date": "2026-05-03"}) for i in (1, 2)])),
        "duplicate_calls",
    ),
    "duplicate call in other letters": (
        replaced(PARALLEL, 2, calls(("c1", "get_forecast", {"city": "Lima", "date": "2026-05-03"}), ("c2", "get_forecast", {"city": "l\u00edma", "date": "2026-05-03"}))),
        "duplicate_calls",
    ),
    "request said back": (replaced(GOOD["missing"], 2, say("How will the weather be tomorrow?")), "echoed_request"),
    "empty answer": (replaced(SINGLE, 4, say(" ")), "necessary_fields"),
    "truncated answer": (replaced(SINGLE, 4, say("It will be sunny with 24 degrees and")), "response_complete"),
    "repetition": (replaced(SINGLE, 4, say("It is sunny sunny sunny sunny at 24.")), "repetition"),
    "control characters": (replaced(SINGLE, 4, say("Sunny, 24\x07 degrees.")), "invalid_characters"),
    "mixed language": (replaced(SINGLE, 4, say("Будет солнечно, температура 24 градуса.")), "mixed_language"),
    "script mixed in a word": (replaced(SINGLE, 4, say("It will be sunny over Central\u516c\u56ed, 24.")), "mixed_language"),
    "foreign word": (replaced(SINGLE, 4, say("It will be \u6674\u308c sunny at 24.")), "mixed_language"),
    "leaked prompt": (replaced(SINGLE, 4, say("As the fact sheet says, sunny and 24.")), "leaked_prompt"),
    "code name": (replaced(SINGLE, 4, say("get_forecast says it is sunny, 24.")), "leaked_prompt"),
    "call in text": (replaced(SINGLE, 4, say('[get_forecast(city="Lima", date="2026-05-02")]')), "call_syntax"),
    "prose beside call": (
        replaced(SINGLE, 2, SINGLE.messages[2].model_copy(update={"content": "I call it."})),
        "call_syntax",
    ),
    "success denied": (replaced(SINGLE, 4, say("I could not do it, sunny and 24.")), "success_denied"),
    "answer against output": (replaced(SINGLE, 4, say("It will be sunny with a high of 31 degrees.")), "answer_grounded"),
    "answer ignores output": (replaced(SINGLE, 4, say("Thank you for asking, have a nice day.")), "answer_grounded"),
    "call where a value is missing": (SINGLE.model_copy(update={"type": "non_tool"}), "structure_of_type"),
    "parallel turned dependent": (DEPENDENT.model_copy(update={"type": "parallel"}), "structure_of_type"),
    "no question": (replaced(GOOD["missing"], 2, say("It will be sunny.")), "missing_value_asked"),
    "missing value said": (replaced(GOOD["missing"], 1, user("How will the weather be in Lima?")), "missing_value_asked"),
    "never recovered": (
        GOOD["recovery"].model_copy(update={"messages": (*GOOD["recovery"].messages[:2], *GOOD["recovery"].messages[4:6], calls(("c9", "search_trains", {"origin": "Lyon", "destination": "Rome"})), result("c9", "search_trains", {"error": {"code": "unavailable", "message": "Busy."}}), GOOD["recovery"].messages[6])}),
        "structure_of_type",
    ),
    "asked though given": (replaced(GOOD["clarification"], 1, user("How will the weather be in Lima tomorrow?")), "missing_value_asked"),
    "all masked": (SINGLE.model_copy(update={"messages": tuple(m.model_copy(update={"train": False}) for m in SINGLE.messages)}), "trainable"),
    "set by the system prompt": (replaced(GOOD["missing"], 0, Message(role="system", content="The city is Lima.")), "missing_value_asked"),
    "too long": (replaced(SINGLE, 4, say("It is sunny at 24. " + "Really nice, truly. " * 300)), "message_length"),
}  # fmt: skip


@pytest.mark.parametrize("name", DEFECTS)
def test_defects_are_caught_by_their_rule(name):
    dialog, rule = DEFECTS[name]
    assert rule in found(dialog)


@pytest.mark.parametrize("days", [0, 7])
def test_a_date_is_missing_though_the_system_prompt_names_todays_and_its_weekday(days):
    date = str(datetime.date.fromisoformat(GOOD["missing"].today) + datetime.timedelta(days=days))
    dialog = GOOD["missing"].model_copy(update={"meta": {"missing": {"name": "date", "value": date}}})
    dialog = replaced(dialog, 1, user("How will the weather be in Lima?"))
    dialog = replaced(dialog, 2, say("For which day would you like the forecast?"))
    assert "missing_value_asked" not in found(dialog)
    assert "missing_value_asked" in found(replaced(dialog, 1, user(f"How will the weather be in Lima on {date}?")))


NESTED = WEATHER.model_copy(
    update={
        "parameters": {
            "type": "object",
            "properties": {
                "place": {
                    "type": "object",
                    "description": "Place",
                    "properties": {
                        "city": {"type": "string", "description": "C"},
                        "zip": {"type": "string", "description": "Z"},
                    },
                    "required": ["city", "zip"],
                }
            },
            "required": ["place"],
        },
        "example_arguments": {"place": {"city": "Lima", "zip": "15001"}},
    }
)


def test_a_missing_nested_field_is_found_and_a_missing_argument_told_once():
    dialog = SINGLE.model_copy(update={"tools": (NESTED,)})
    half = replaced(dialog, 2, calls(("c1", "get_forecast", {"place": {"city": "Lima"}})))
    assert "arguments_valid" in found(half)
    none = replaced(dialog, 2, calls(("c1", "get_forecast", {})))
    assert {"required_arguments"} == found(none) & {"required_arguments", "arguments_valid"}


def test_right_values_that_look_odd_are_let_pass():
    formats = WEATHER.model_copy(
        update={
            "parameters": {
                "type": "object",
                "properties": {"format": {"type": "string", "enum": ["text", "none"], "description": "Format"}},
                "required": ["format"],
            },
            "example_arguments": {"format": "text"},
        }
    )
    dialog = SINGLE.model_copy(update={"tools": (formats,)})
    assert "placeholder_values" not in found(replaced(dialog, 2, calls(("c1", "get_forecast", {"format": "text"}))))
    for text in ("Take 20 \u00b5g, it will be sunny at 24.", "It will be sunny at 24, as in S\u00e3o Paulo."):
        assert "mixed_language" not in found(replaced(SINGLE, 4, say(text)))
    japanese = [
        user("\u30b3\u30fc\u30d2\u30fc\u306f\u3069\u3053\u3067\u3059\u304b\uff1f"),
        say("\u7533\u3057\u8a33\u3042\u308a\u307e\u305b\u3093\u304c\u3001\u308f\u304b\u308a\u307e\u305b\u3093\u3002"),
    ]
    assert "mixed_language" not in found(GOOD["no_function"].model_copy(update={"messages": tuple(japanese)}))


@pytest.mark.parametrize(
    "dialog",
    [
        replaced(SINGLE, 4, say("It is " + "9" * 400 + " degrees and sunny.")),
        with_arguments(SINGLE, 2, city=2**500),
        replaced(SINGLE, 3, result("c1", "get_forecast", {"error": {"code": ["404"], "message": 3}})),
        replaced(
            SINGLE, 3, Message(role="tool", content="[" * 700 + "]" * 700, tool_call_id="c1", name="get_forecast")
        ),
    ],
)
def test_hostile_values_are_findings_and_no_failures(dialog):
    verdicts = rejects(run_rules(dialog, CONFIG))
    assert verdicts
    assert not [verdict for verdict in verdicts if "the rule failed" in verdict.evidence]


def test_a_disabled_rule_is_silent():
    dialog, rule = DEFECTS["enum"]
    assert rule not in {verdict.rule for verdict in run_rules(dialog, VerifyConfig(rules={rule: "off"}))}


def test_hostile_patterns_and_sizes_are_harmless():
    evil = SEARCH.model_copy(
        update={
            "parameters": {
                "type": "object",
                "properties": {"a": {"type": "string", "description": "A", "pattern": "^(a+)+$"}},
                "required": ["a"],
            }
        }
    )
    messages = (
        user("a" * 3000 + "!"),
        calls(("c", evil.name, {"a": "a" * 3000 + "!"})),
        result("c", evil.name, {}),
        say("Done."),
    )
    dialog = SINGLE.model_copy(update={"tools": (evil,), "messages": messages})
    assert "arguments_valid" in found(dialog)
    big = replaced(SINGLE, 4, say("x" * (10 << 20)))
    assert found(big) == {"size"}


TEXT = st.text(max_size=60)
ROLE = st.sampled_from(["system", "user", "assistant", "tool"])
CALL = st.builds(ToolCall, id=TEXT, name=st.sampled_from([*[api.name for api in APIS], "other"]), arguments=st.dictionaries(
    st.sampled_from(["city", "date", "seats", "x"]), st.none() | st.booleans() | st.integers() | TEXT.filter(lambda t: t.isprintable()), max_size=3))  # fmt: skip
MESSAGE = st.builds(
    Message,
    role=ROLE,
    content=TEXT | st.sampled_from(["{}", "[1]", '{"error": 3}', '{"error": {}}']),
    tool_calls=st.lists(CALL, max_size=2).map(tuple),
    tool_call_id=st.none() | TEXT,
    name=st.none() | TEXT,
)


@given(st.lists(MESSAGE, max_size=6), st.sampled_from(list(KINDS)))
def test_no_dialog_breaks_the_layer(messages, kind):
    dialog = Dialog(
        id="x", type=KINDS[kind], kind=kind, attempt=0, seed=0, today="2026-05-01", tools=APIS, messages=tuple(messages)
    )
    json.dumps([verdict.model_dump() for verdict in run_rules(dialog, CONFIG)])


def test_todays_date_in_the_prompt_is_no_source_for_another_day():
    dialog = GOOD["single"]
    assert "argument_provenance" in found(with_arguments(dialog, 2, date="2026-05-01"))  # the user says tomorrow
    undated = replaced(with_arguments(dialog, 2, date="2026-05-01"), 1, user("What is the weather like in Lima?"))
    assert "argument_provenance" not in found(undated)


@pytest.mark.parametrize(
    ("said", "city", "date", "right"),
    [
        ("Weather in Lima on May 3. No, make it May 4.", "Lima", "2026-05-04", True),
        ("Weather in Lima on May 3. No, make it May 4.", "Lima", "2026-05-03", False),
        ("Weather in Lima on May 3. No, sorry, I meant Quito.", "Quito", "2026-05-03", True),
        ("Weather in Lima on May 3. No, sorry, I meant Quito.", "Lima", "2026-05-03", False),
        ("Weather in Quito, not Lima, on May 3.", "Quito", "2026-05-03", True),
        ("Weather in Quito, not Lima, on May 3.", "Lima", "2026-05-03", False),
        ("Weather in Lima on May 3. Sorry for the trouble, Anna asked me.", "Lima", "2026-05-03", True),
        ("Weather in Lima, please. Wait, it should be for the 5th.", "Lima", "2026-05-05", True),
    ],
)
def test_what_the_user_takes_back_is_not_used(said, city, date, right):
    dialog = replaced(with_arguments(GOOD["single"], 2, city=city, date=date), 1, user(said))
    assert ("corrected_value" not in found(dialog)) is right


@pytest.mark.parametrize(
    "text", ["How do I open an account?", "How many users signed up per country?", "Weather en route to Oslo?"]
)
def test_a_few_short_words_make_no_foreign_language(text):
    assert language(text) == "English"
    assert language("Das ist eine gute Wahl und nicht zu teuer für Sie.") == "German"
    assert language("我需要帮助") == "other"


def test_bounds_that_exclude_each_other_are_told():
    properties = {name: {"type": "number", "description": "P"} for name in ("price_min", "price_max")}
    api = WEATHER.model_copy(
        update={"parameters": {"type": "object", "properties": properties}, "example_arguments": {}}
    )
    dialog = GOOD["single"].model_copy(update={"tools": (api,)})
    for low, high in ((300, 100), (100, 300)):
        changed = replaced(dialog, 2, calls(("c1", "get_forecast", {"price_min": low, "price_max": high})))
        changed = replaced(changed, 1, user("From 100 up to 300, please."))
        assert ("swapped_values" in found(changed)) is (low > high)


def test_messages_that_are_too_long_are_not_looked_at():
    dialog = replaced(GOOD["single"], 4, say("so " * 30_000))
    assert found(dialog) == {"size"}


@pytest.mark.parametrize(("setting", "rejected"), [("warn", False), ("reject", True)])
def test_a_rule_that_fails_keeps_its_severity(tmp_path, setting, rejected):
    path = tmp_path / "failing.py"
    path.write_text(
        "from toolace_ray.dlv.registry import rule\n\n"
        f"@rule('dialog', '{setting}')\n"
        f"def failing_{setting}(view):\n"
        "    '''It never gets there.'''\n"
        "    raise ZeroDivisionError\n"
    )
    verdicts = run_rules(GOOD["single"], VerifyConfig(modules=(str(path),)))
    try:
        assert [(verdict.rule, verdict.severity) for verdict in verdicts] == [(f"failing_{setting}", setting)]
        assert bool(rejects(verdicts)) == rejected
    finally:
        RULES.pop(f"failing_{setting}")


def strangers(dialog, api):
    """The dialog as somebody else's, with one tool."""
    return dialog.model_copy(update={"kind": f"{dialog.type}.imported", "tools": (api,)})


@pytest.mark.parametrize(
    ("description", "told"),
    [
        ("Returns the forecast of a city.", True),
        ("Tell the forecast of Diekirch.", True),
        ("Checks the progress of a forecast.", False),
        ("Draw a random forecast.", False),
    ],
)
def test_a_tool_that_may_be_asked_again_is_known_by_whole_words(description, told):
    api = WEATHER.model_copy(update={"description": description})
    dialog = strangers(DEFECTS["duplicate parallel call"][0], api)
    assert ("duplicate_calls" in found(dialog)) is told


@pytest.mark.parametrize(("name", "told"), [("start_slot", True), ("star_rating", False), ("starRating", False)])
def test_a_level_on_a_scale_is_known_by_whole_words(name, told):
    properties = {
        "city": {"type": "string", "description": "City"},
        name: {"type": "integer", "description": "One of seven.", "minimum": 1, "maximum": 7},
    }
    api = WEATHER.model_copy(update={"parameters": {"type": "object", "properties": properties, "required": ["city"]}})
    dialog = replaced(strangers(SINGLE, api), 2, calls(("c1", "get_forecast", {"city": "Lima", name: 3})))
    assert ("argument_provenance" in found(dialog)) is told


@pytest.mark.parametrize(("name", "told"), [("subscription", True), ("script", False), ("sqlQuery", False)])
def test_a_parameter_that_takes_code_is_known_by_whole_words(name, told):
    properties = {name: {"type": "string", "description": "What is wanted."}}
    api = WEATHER.model_copy(update={"parameters": {"type": "object", "properties": properties}})
    dialog = replaced(strangers(SINGLE, api), 2, calls(("c1", "get_forecast", {name: "tier = 'gold'"})))
    assert ("argument_provenance" in found(dialog)) is told


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("get_forecast", "Sunny at 24: get_forecast_cache is empty, get_forecast(Lima) is not.", True),
        ("get_forecast", 'Sunny at 24: get_forecast gives {"name": "get_forecast"}.', True),
        ("search", "My research (at = 24) says sunny.", False),
        ("search", "Sunny at 24, says my research: search (q = Lima).", True),
        ("search", "Sunny at 24, says my search (as ever).", False),
    ],
)
def test_a_call_in_an_answer_is_found_wherever_the_name_is_a_word(name, text, told):
    api = WEATHER.model_copy(update={"name": name})
    dialog = replaced(strangers(SINGLE, api), 4, say(text))
    assert ("call_syntax" in found(dialog)) is told


def test_a_result_that_only_python_takes_for_json_is_none():
    said = Message(role="tool", content='{"summary": "\\ud83d", "high": 24}', tool_call_id="c1", name="get_forecast")
    assert "results_valid" in found(replaced(SINGLE, 3, said))
    endless = said.model_copy(update={"content": '{"summary": "sunny", "seconds": Infinity}'})
    dialog = strangers(SINGLE, WEATHER.model_copy(update={"returns": {}}))
    dialog = replaced(replaced(dialog, 3, endless), 4, say("Sunny, for 13 h 5 min."))
    evidence = {verdict.rule: verdict.evidence for verdict in run_rules(dialog, CONFIG)}
    assert evidence["answer_grounded"].endswith("stands in no result and no earlier message")


@pytest.mark.parametrize(("setting", "severities"), [("reject", {"reject"}), ("warn", {"warn"}), ("off", set())])
def test_masks_that_leave_nothing_to_train_on_are_told_as_the_rule_is_set(setting, severities):
    dialog = replaced(SINGLE, 4, SINGLE.messages[4].model_copy(update={"train": False}))
    config = VerifyConfig(rules={"argument_provenance": "mask", "trainable": setting})
    verdicts = run_rules(with_arguments(dialog, 2, city="Quito"), config)
    assert {verdict.severity for verdict in verdicts if verdict.rule == "trainable"} == severities
    assert bool(rejects(verdicts)) == (setting == "reject")
