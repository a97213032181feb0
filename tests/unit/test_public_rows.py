"""Rows in the layouts of published sets, with words of our own: what each layout holds is read, and held to the rules."""

import json

import pytest

from toolace_ray.config.tree import VerifyConfig
from toolace_ray.corpus.formats import read
from toolace_ray.corpus.verification import verify_row

CONFIG = VerifyConfig()
TIDES = {
    "name": "get_tides",
    "description": "Tells when the water is high and low at a harbour.",
    "parameters": {
        "type": "object",
        "properties": {
            "harbour": {"type": "string", "description": "Name of the harbour"},
            "in_metres": {"type": "boolean", "description": "Heights in metres", "default": True},
        },
        "required": ["harbour"],
    },
}
ASKED, SAID = "When is high water at Bergen?", "High water at Bergen is at 14:20."
RESULT = {"high": "14:20", "low": "08:05"}


def rejecting(row, form):
    """The rules that reject a row."""
    told = verify_row(json.dumps(row, ensure_ascii=False), form, CONFIG)
    return {verdict.rule: verdict.evidence for verdict in told.verdicts if verdict.severity == "reject"}


def calls(row, form):
    return [(call.name, call.arguments) for item in read(row, form).dialog.messages for call in item.tool_calls]


def hermes_row(call):
    return {
        "conversations": [
            {"from": "system", "value": f"You call functions. <tools>\n{json.dumps([TIDES])}\n</tools>"},
            {"from": "human", "value": ASKED},
            {"from": "gpt", "value": call},
            {"from": "tool", "value": f"<tool_response>\n{json.dumps(RESULT)}\n</tool_response>"},
            {"from": "gpt", "value": SAID},
        ]
    }


@pytest.mark.parametrize("form", ["hermes", "sharegpt"])
def test_calls_that_hermes_writes_as_python_are_read_and_told(form):
    row = hermes_row(
        "<tool_call>\n{'arguments': {'harbour': 'Bergen', 'in_metres': True}, 'name': 'get_tides'}\n</tool_call>\n"
    )
    assert calls(row, form) == [("get_tides", {"harbour": "Bergen", "in_metres": True})]
    told = verify_row(json.dumps(row), form, CONFIG)
    assert told.accepted, told.verdicts
    assert ("schema_dialect", 2) in {(verdict.rule, verdict.turn) for verdict in told.verdicts}


@pytest.mark.parametrize(
    "call", ["{'name': 'get_tides', 'arguments': open('x')}", "{'name': 'get_tides'", "{'name': 'get_tides'}"]
)
def test_what_is_neither_json_nor_a_literal_is_no_call(call):
    assert "call_syntax" in rejecting(hermes_row(f"<tool_call>\n{call}\n</tool_call>"), "hermes")


def olmo_row(written, **more):
    return {
        "messages": [
            {
                "role": "system",
                "content": "You call functions.",
                "functions": json.dumps([TIDES]),
                "function_calls": None,
            },
            {"role": "user", "content": ASKED, "functions": None, "function_calls": None},
            {"role": "assistant", "content": None, "functions": None, "function_calls": written},
            {"role": "environment", "content": json.dumps(RESULT), "functions": None, "function_calls": None},
            {"role": "assistant", "content": SAID, "functions": None, "function_calls": None},
        ],
        **more,
    }


def test_olmos_rows_have_their_functions_and_calls_beside_the_words():
    row = olmo_row("get_tides(harbour='Bergen', in_metres=true)")
    assert calls(row, "openai") == [("get_tides", {"harbour": "Bergen", "in_metres": True})]
    assert rejecting(row, "openai") == {}
    assert "argument_provenance" in rejecting(olmo_row("get_tides(harbour='Stavanger')"), "openai")
    assert "known_api" in rejecting(olmo_row("get_waves(harbour='Bergen')"), "openai")


def test_olmos_calls_are_one_a_line_and_no_call_is_dropped():
    row = olmo_row("get_tides(harbour='Bergen')\nget_tides(harbour='Oslo (east)\\n')")
    assert [arguments["harbour"] for _, arguments in calls(row, "openai")] == ["Bergen", "Oslo (east)\n"]
    assert "cannot be read" in rejecting(olmo_row("get_tides(harbour='Bergen"), "openai")["call_syntax"]


@pytest.mark.parametrize(
    ("marks", "lacking"),
    [
        ({"harbour": {"required": True}, "day": {"required": False}}, None),
        ({"harbour": {"required": True}, "day": {"required": True}}, "day"),
        ({"harbour": {"required": True, "default": "Bergen"}, "day": {"default": "2024-05-01"}}, None),
        ({"harbour": {}, "day": {}}, "day"),
    ],
)
def test_parameters_without_a_schema_around_them_say_which_are_required(marks, lacking):
    properties = {name: {"type": "string", "description": name, **mark} for name, mark in marks.items()}
    tool = {"name": "get_tides", "description": TIDES["description"], "parameters": properties}
    answers = [{"name": "get_tides", "arguments": {"harbour": "Bergen"}}]
    row = {"query": ASKED, "tools": json.dumps([tool]), "answers": json.dumps(answers)}
    assert rejecting(row, "xlam") == ({"required_arguments": f"get_tides lacks {lacking}"} if lacking else {})


@pytest.mark.parametrize(
    ("form", "weight"), [("openai", "loss_weight"), ("sharegpt", "loss_weight"), ("openai", "weight")]
)
def test_a_turn_whose_loss_has_no_weight_is_masked(form, weight):
    turns = [{"role": "user", "content": ASKED}, {"role": "assistant", "content": "At 14:20.", weight: 0.0}]
    turns += [{"role": "user", "content": "And low water?"}, {"role": "assistant", "content": "At 08:05.", weight: 1.0}]
    assert [item.train for item in read({"messages": turns}, form).dialog.messages] == [True, False, True, True]


def asked_and_called(request, name, arguments, properties, *more):
    """A row of one request and one call of a tool with these parameters; `more` are the turns before the call."""
    tool = {
        "name": name,
        "description": "Does what its name says.",
        "parameters": {
            "type": "object",
            "properties": {key: {"description": key, **kind} for key, kind in properties.items()},
        },
    }
    call = {"id": "c9", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
    turns = [{"role": "user", "content": request}, *more, {"role": "assistant", "content": None, "tool_calls": [call]}]
    return {"messages": turns, "tools": [tool]}


TEXT, NUMBER = {"type": "string"}, {"type": "number"}


def earlier(name, arguments, result):
    call = {"id": "c1", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
    return [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": json.dumps(result)},
    ]


@pytest.mark.parametrize(
    ("given", "passed", "kind", "right"),
    [
        (60.3913, "60.3913", TEXT, True),
        (-71.0898892, "-71.0898892", TEXT, True),
        ("-4471", -4471, NUMBER, True),
        (60.3913, "60.3914", TEXT, False),
        (7.25, "7.2", TEXT, False),
    ],
)
def test_a_number_may_be_passed_on_as_its_digits(given, passed, kind, right):
    steps = earlier("look_up", {"place": "Bryggen"}, {"found": given})
    row = asked_and_called("Which ferries go near Bryggen?", "list_ferries", {"at": passed}, {"at": kind}, *steps)
    row["tools"].append(
        {
            "name": "look_up",
            "description": "Looks up a place.",
            "parameters": {"type": "object", "properties": {"place": {"type": "string", "description": "Place"}}},
        }
    )
    assert ("argument_provenance" in rejecting(row, "openai")) is not right


@pytest.mark.parametrize(
    ("name", "order", "arguments", "swapped"),
    [
        ("list_flights", ("returnDate", "departDate"), {"departDate": "2024-05-04", "returnDate": "2024-05-09"}, False),
        ("list_flights", ("departDate", "returnDate"), {"departDate": "2024-05-09", "returnDate": "2024-05-04"}, True),
        (
            "list_rooms",
            ("departure_date", "arrival_date"),
            {"arrival_date": "2024-05-04", "departure_date": "2024-05-09"},
            False,
        ),
        (
            "list_rooms",
            ("arrival_date", "departure_date"),
            {"arrival_date": "2024-05-04", "departure_date": "2024-05-09"},
            False,
        ),
        (
            "list_rooms",
            ("arrival_date", "departure_date"),
            {"arrival_date": "2024-05-09", "departure_date": "2024-05-04"},
            True,
        ),
    ],
)
def test_a_stay_is_told_from_a_flight_by_its_days_not_by_the_order_of_the_schema(name, order, arguments, swapped):
    request = "We are in Bergen from May 4th to May 9th, 2024: what is there?"
    row = asked_and_called(request, name, arguments, dict.fromkeys(order, TEXT))
    assert ("swapped_values" in rejecting(row, "openai")) is swapped


def test_a_parameter_takes_the_field_whose_name_ends_with_its_own():
    steps = earlier("list_tours", {}, {"tours": [{"id": "aWQ6MTIz", "productId": "PRx81"}]})
    tours = {"name": "list_tours", "description": "Lists tours.", "parameters": {"type": "object", "properties": {}}}
    row = asked_and_called("When is the first tour?", "list_days", {"id": "PRx81"}, {"id": TEXT}, *steps)
    row["tools"].append(tours)
    assert rejecting(row, "openai") == {}
    steps = earlier("list_tours", {}, {"tours": [{"id": "aWQ6MTIz", "guide": "PRx81"}]})
    row["messages"][1:3] = steps
    assert "source_field" in rejecting(row, "openai")


@pytest.mark.parametrize(
    ("request_text", "right"), [("Who owns AS64500?", True), ("Who owns AS645001?", False), ("Who owns AS64?", False)]
)
def test_a_number_behind_letters_is_said(request_text, right):
    row = asked_and_called(request_text, "get_network", {"number": 64500}, {"number": {"type": "integer"}})
    assert ("argument_provenance" in rejecting(row, "openai")) is not right


def answered(result, answer):
    row = asked_and_called("Log me in as lena and tell me what is due.", "log_in", {"name": "lena"}, {"name": TEXT})
    row["messages"] += [
        {"role": "tool", "tool_call_id": "c9", "content": json.dumps(result)},
        {"role": "assistant", "content": answer},
    ]
    return row


@pytest.mark.parametrize(
    ("result", "answer", "right"),
    [
        ({"session_token": "e149636f-d9ca-0792"}, "You are logged in. What shall I look for?", True),
        ({"token": "p9o8i7u6y5t4r3e2w1q"}, "Now, what is the reminder to say?", True),
        ({"notice": "the account of lena is locked"}, "Good day. What shall I look for?", False),
        ({"file": "report_2024_lena_final.pdf"}, "Good day. What shall I look for?", False),
        (
            {"due": [{"task": "rent"}, {"task": "tax"}, {"task": "visa"}]},
            "You have 3 reminders. Shall I read them to you?",
            True,
        ),
        (
            {"due": [{"task": "rent"}, {"task": "tax"}, {"task": "visa"}]},
            "You have 4 reminders. Shall I read them to you?",
            False,
        ),
        ({"balance": 23329000000}, "The balance is $23.33B.", True),
        ({"due": [{"task": "rent", "at": "2024-05-04 18:00:00"}]}, "The rent is due at 6 pm.", True),
        ({"due": [{"task": "rent", "at": "2024-05-04 18:00:00"}]}, "The rent is due at 7 pm.", False),
    ],
)
def test_an_answer_may_keep_a_token_to_itself_count_a_list_and_tell_a_time_by_the_clock(result, answer, right):
    assert ("answer_grounded" in rejecting(answered(result, answer), "openai")) is not right


def test_the_evidence_names_the_function_whose_result_has_only_its_calls_id():
    told = rejecting(
        answered({"notice": "the account of lena is locked"}, "Good day. What shall I look for?"), "openai"
    )
    assert told["answer_grounded"] == "nothing of the result of log_in is in the answer"


@pytest.mark.parametrize("written", ["list(str)", "List[str]", "list[str]"])
def test_a_list_is_typed_in_brackets_of_either_kind(written):
    tool = {
        "name": "invite",
        "description": "Invites people.",
        "parameters": {"people": {"type": written, "description": "Who"}},
    }
    row = {
        "query": "Invite Ada and Bo.",
        "tools": [tool],
        "answers": [{"name": "invite", "arguments": {"people": ["Ada", "Bo"]}}],
    }
    assert rejecting(row, "xlam") == {}
    row["answers"] = [{"name": "invite", "arguments": {"people": "Ada"}}]
    assert "arguments_valid" in rejecting(row, "xlam")


def test_a_time_is_counted_from_a_moment_late_in_a_long_result():
    flights = [{"name": f"carrier {i} of the north", "gate": "unknown"} for i in range(80)]
    steps = earlier("find_flight", {}, {"carriers": flights, "lands": "2024-05-04T12:40:00"})
    request = "Find the flight to Bergen, and a taxi two hours after it lands."
    for time, right in (("14:40", True), ("15:10", False)):
        row = asked_and_called(request, "order_taxi", {"time": time}, {"time": TEXT}, *steps)
        row["tools"].append(
            {"name": "find_flight", "description": "Finds it.", "parameters": {"type": "object", "properties": {}}}
        )
        assert ("argument_provenance" in rejecting(row, "openai")) is not right


@pytest.mark.parametrize(
    ("asked", "harbour", "right"),
    [
        ("Kiedy jest przypływ w Gdańsku, najwyższy dzisiaj?", "Gdańsk", True),
        ("Milloin on nousuvesi Kotkassa tänään, sää näyttää huonolta?", "Kotka", True),
        ("Kdy je příliv v Ostravě, prosím?", "Ostrava", True),
        ("מתי הגאות ביפו היום?", "יפו", True),
        ("Kiedy jest przypływ w Gdańsku, najwyższy dzisiaj?", "Szczecin", False),
        ("Kdy je příliv v Ostravě, prosím?", "Olomouc", False),
        ("When is high water in Australia?", "Austria", False),
    ],
)
def test_a_name_may_be_said_in_another_form_of_its_language(asked, harbour, right):
    call = {"id": "c1", "type": "function", "function": {"name": "get_tides", "arguments": {"harbour": harbour}}}
    row = {
        "tools": [{"type": "function", "function": TIDES}],
        "messages": [
            {"role": "user", "content": asked},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": json.dumps(RESULT)},
            {"role": "assistant", "content": f"{harbour}: 14:20, 08:05."},
        ],
    }
    assert ("argument_provenance" not in rejecting(row, "openai")) is right
