import asyncio
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.material import APIS, IDEAL_APIS, IdealEngine, good_dialogs
from toolace_ray.calls import SYNTAXES
from toolace_ray.config.load import parse
from toolace_ray.config.tree import Config
from toolace_ray.dlv.layer import run_rules
from toolace_ray.engines.protocol import BadRequest, Capabilities, Generation, Sample, Score
from toolace_ray.engines.roles import Engines
from toolace_ray.engines.template import ChatTemplate, WordTemplate
from toolace_ray.errors import UserError
from toolace_ray.records.dialog import Message, ToolCall
from toolace_ray.records.kinds import PLANNED
from toolace_ray.sdg.difficulty.guide import OPERATORS, Band, Target, check_band
from toolace_ray.sdg.difficulty.measure import (
    Complexity,
    LossEvaluator,
    PassEvaluator,
    agrees,
    features,
    normal,
    read_calls,
    solved,
    summed,
)
from toolace_ray.sdg.plans import Difficulty, Task
from toolace_ray.sdg.pool import Pool
from toolace_ray.sdg.rollout import rollout

GOOD = good_dialogs()
HERMES = (
    "{% if tools %}<|s|>system\n{{ messages[0].content }} tools: {{ tools | tojson }}<|e|>\n{% endif %}"
    "{% for m in messages %}{% if not (tools and loop.first) %}<|s|>{{ m.role }}\n"
    "{% if m.tool_calls %}{% for c in m.tool_calls %}<tool_call>{{ c.function | tojson }}</tool_call>{% endfor %}"
    "{% else %}{{ m.content }}{% endif %}<|e|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|s|>assistant\n{% endif %}"
)
PLAIN = (
    "{% for m in messages %}<|s|>{{ m.role }}\n{{ m.content }}<|e|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|s|>assistant\n{% endif %}"
)
# Earlier answers are shortened once a later user message is there, as thinking models' templates do.
FORGETFUL = (
    "{% for m in messages %}<|s|>{{ m.role }}\n"
    "{% if m.role == 'assistant' and not loop.last %}...{% else %}{{ m.content }}{% endif %}<|e|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|s|>assistant\n{% endif %}"
)


# Templates of other families, in what is odd about them.
ONE_CALL = HERMES.replace(
    "{% if m.tool_calls %}",
    "{% if m.tool_calls %}{% if m.tool_calls|length > 1 %}{{ raise_exception('one call') }}{% endif %}",
)
ALTERNATING = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    "{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}"
    "<|s|>{{ m.role }}\n{{ m.content }}<|e|>\n{% endfor %}{% if add_generation_prompt %}<|s|>assistant\n{% endif %}"
)
OPENS_THOUGHT = PLAIN.replace("<|s|>assistant\n{% endif %}", "<|s|>assistant\n<think>\n{% endif %}")
NO_PROMPT = PLAIN.partition("{% if add_generation_prompt %}")[0]


@pytest.fixture(scope="module")
def tokenizer():
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from tokenizers.decoders import ByteLevel
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = ByteLevel()
    special = ["<|s|>", "<|e|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(["a user"], trainers.BpeTrainer(special_tokens=special, initial_alphabet=alphabet))

    def with_template(template):
        return PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<|e|>", chat_template=template)

    return with_template


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize(("source", "stable"), [
        (HERMES, True), (PLAIN, True), (FORGETFUL, False), (ONE_CALL, True), (ALTERNATING, True), (OPENS_THOUGHT, True),
        (NO_PROMPT, True),
    ],
)  # fmt: skip
def test_the_turns_of_every_template_are_what_the_model_writes(tokenizer, name, source, stable):
    dialog = GOOD[name]
    template = ChatTemplate(tokenizer(source))
    passes = template.passes(dialog)
    spoken = [i for i, message in enumerate(dialog.messages) if message.role == "assistant"]
    turns = {turn.message: (found, turn) for found in passes for turn in found.turns}
    assert sorted(turns) == spoken
    assert len(passes) == (1 if stable or len(spoken) == 1 else len(spoken))
    for index, (found, turn) in turns.items():
        text = tokenizer(source).decode(found.ids[turn.start : turn.end])
        assert text.endswith("<|e|>")
        message = dialog.messages[index]
        if message.tool_calls:
            assert [(c.name, c.arguments) for c in read_calls(text.replace("<|e|>", ""))] == [
                (call.name, call.arguments) for call in message.tool_calls
            ]
        else:
            assert text == f"{message.content}<|e|>"
        before = tuple(found.ids[: turn.start])
        if source not in (OPENS_THOUGHT, NO_PROMPT):
            assert template.prompt(dialog, index) == before
        shown = tokenizer(source).decode(before)
        assert dialog.tools[0].name in shown
        assert shown.endswith("<|s|>assistant\n")


def test_a_template_that_takes_no_form_of_a_dialog_refuses_it(tokenizer):
    with pytest.raises(BadRequest, match="takes no such dialog: never"):
        ChatTemplate(tokenizer("{{ raise_exception('never') if messages|length > 1 }}x")).passes(GOOD["single"])


class Scorer:
    """Gives every token of a request the same log-probability, and answers with what it is told."""

    capabilities = Capabilities(model="scorer", context=4096, score=True)

    def __init__(self, value=-0.5, answers=()):
        self.value, self.answers, self.requests = value, list(answers), []

    async def score(self, request):
        self.requests.append(request)
        return Score(tuple((self.value,) * (end - start) for start, end in request.spans))

    async def generate(self, request):
        self.requests.append(request)
        texts = (self.answers * request.n)[: request.n]
        return Generation(tuple(Sample(text, "stop", 5) for text in texts), prompt_tokens=3)


def target_of(engine, more=None):
    config = parse(
        {
            "roles": {**dict.fromkeys(("writer", "user", "assistant", "tool", "judge", "target"), "small")},
            **(more or {}),
        }
    )
    return config, Engines(config, {"small": engine}).for_task("t")


def test_the_loss_is_a_mean_over_trainable_tokens():
    dialog = GOOD["single"]
    found = summed(dialog, [(2, (-1.0, -2.0)), (4, (-4.0,))])
    assert (found.loss, found.call_loss) == (pytest.approx(7 / 3), pytest.approx(1.5))
    assert found.turns == ((2, 1.5, 2), (4, 4.0, 1))
    masked = dialog.messages[4].model_copy(update={"train": False})
    dialog = dialog.model_copy(update={"messages": (*dialog.messages[:4], masked)})
    assert summed(dialog, [(2, (-1.0, -2.0)), (4, (-4.0,))]).loss == pytest.approx(1.5)
    with pytest.raises(ValueError, match="no trainable turn"):
        summed(dialog, [(4, (-4.0,))])


def test_a_stable_template_is_scored_in_one_request(tokenizer):
    engine = Scorer()
    _, engines = target_of(engine)
    found = asyncio.run(LossEvaluator(ChatTemplate(tokenizer(HERMES))).measure(GOOD["multi_turn"], engines))
    assert found.value == found.loss == found.call_loss == pytest.approx(0.5)
    assert len(engine.requests) == engines.usage.requests == 1
    assert engines.usage.prompt_tokens == len(engine.requests[0].token_ids)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_an_answer_agrees_by_what_it_calls_not_by_how_it_is_written(syntax):
    message = GOOD["parallel"].messages[2]
    swapped = [
        ToolCall(id=call.id, name=call.name, arguments=dict(reversed(call.arguments.items())))
        for call in reversed(message.tool_calls)
    ]
    text = SYNTAXES[syntax].render(swapped)
    assert agrees(text, message)
    assert agrees(text.replace("Lima", "LIMA"), message)
    assert not agrees(text.replace("Lima", "Lyon"), message)
    assert not agrees(SYNTAXES[syntax].render(swapped[:1]), message)
    assert not agrees("It will be sunny.", message)
    assert agrees("It will be sunny.", GOOD["single"].messages[4])
    for begun in (
        "<tool_call>{broken</tool_call>",
        '{"name": "get_fore',
        "[get_forecast(ci",
        '```json\n{"name',
        "[TOOL_CALLS] [{",
    ):
        assert not agrees(begun, GOOD["single"].messages[4])


@pytest.mark.parametrize(
    "form",
    [
        "{0}",
        "```json\n{0}\n```",
        "[{0}]",
        "<tool_call>\n{0}\n</tool_call>",
        "```json\n{0}\n```\n</tool_call>",
        "<tool_calls>{0}</tool_calls>",
    ],
)
def test_what_is_called_counts_and_not_the_brackets_around_it(form):
    message = GOOD["single"].messages[2]
    call = '{"name": "get_forecast", "arguments": {"city": "Lima", "date": "2026-05-02"}}'
    assert agrees(form.format(call), message)
    assert not agrees(form.format(call.replace("Lima", "Lyon")), message)
    assert agrees(form.format(call.replace("arguments", "parameters")), message)
    for text in ('{"name": "get_forecast"}', '{"temperature": 3}', "[1, 2]", "[" * 5000, "{" * 100_000):
        assert not agrees(text, message)
    assert not agrees(f"{call}\n{call}", message)


def test_solving_asks_for_every_turn_and_counts_the_samples():
    dialog = GOOD["single"]
    right = SYNTAXES["hermes"].render(dialog.messages[2].tool_calls)
    _, engines = target_of(Scorer(answers=[right]))
    assert asyncio.run(solved(dialog, WordTemplate(), engines)) == [1.0, 0.0]
    _, engines = target_of(Scorer(answers=[right, "Sunny, 24 degrees.", "Sunny.", "Fine."]))
    found = asyncio.run(PassEvaluator(WordTemplate(), 4).measure(dialog, engines))
    assert (found.value, found.loss) == (0.75, None)  # the hardest turn decides: one in four makes the call


def test_what_differs_is_not_the_same_call():
    def call(**arguments):
        return normal(ToolCall(name="f", arguments=arguments))

    assert call(a=1, b="X y") == call(b="x  Y", a=1.0)
    for one, other in (
        ({"a": []}, {}),
        ({"a": 9007199254740993}, {"a": 9007199254740992}),
        ({"a": True}, {"a": 1}),
        ({"a": [1, 2]}, {"a": [2, 1]}),
    ):
        assert call(**one) != call(**other)


def test_features_tell_the_shape():
    found = features(GOOD["dependent"])
    assert {key: found[key] for key in ("candidates", "used", "calls", "depth", "turns")} == {
        "candidates": 3, "used": 2, "calls": 2, "depth": 2, "turns": 1,
    }  # fmt: skip
    assert features(GOOD["parallel"])["depth"] == 1
    assert features(GOOD["no_function"])["depth"] == 0
    near = GOOD["single"].model_copy(update={"messages": (Message(role="user", content=APIS[0].description),)})
    assert features(near)["dissimilarity"] < 0.6 < features(GOOD["no_function"])["dissimilarity"]


# Complication


class Measured:
    """Measures by what a function says of a dialog."""

    def __init__(self, value):
        self.value = value

    async def measure(self, dialog, engines):
        return Complexity(value=self.value(dialog))


def guide(kind, seed, value, band, rounds=4):
    config = parse({"verify": {"experts": {}}})
    engines = Engines(config, {"small": IdealEngine()}).for_task("t")
    target = Target(Measured(value), band, rounds)
    return asyncio.run(rollout(Task("t", kind, 0, seed), Pool.of(IDEAL_APIS), config, engines, target))


@pytest.mark.parametrize("kind", PLANNED)
@pytest.mark.parametrize("hard", [True, False])
def test_what_complication_keeps_is_right_and_nearer_to_the_band(kind, hard):
    """By a measure that likes many tools and little likeness, dialogs of every kind move towards the band."""

    def value(dialog):
        found = features(dialog)
        return found["candidates"] + found["dissimilarity"] + found["depth"] + found["calls"]

    band = Band("loss", 30.0, 40.0) if hard else Band("loss", 0.0, 0.5)
    outcome = next(out for seed in range(20) if (out := guide(kind, seed, value, band)).dialog)
    dialog = outcome.dialog
    told = dialog.meta["complexity"]
    assert run_rules(dialog, Config().verify) == []
    assert dialog.kind == kind
    assert not told["in_band"]
    assert 1 <= len(told["rounds"]) <= 4
    assert told["value"] == pytest.approx(value(dialog), abs=1e-3)
    assert abs(band.beyond(told["value"])) <= abs(band.beyond(told["before"]))
    for item in told["rounds"]:
        operator = next(found for found in OPERATORS if found.name == item["operator"])
        assert operator.up is hard
        assert dialog.type in operator.types
        assert item["requests"] >= 0


def test_a_dialog_in_the_band_is_left_alone_and_one_that_gets_there_stops():
    inside = guide("single.plain", 3, lambda dialog: 1.0, Band("loss", 0.5, 1.5)).dialog.meta["complexity"]
    assert (inside["rounds"], inside["in_band"]) == ([], True)

    def tools(dialog):
        return float(len(dialog.tools))

    first = guide("single.plain", 3, tools, Band("loss", 0.0, 100.0)).dialog
    wanted = tools(first) + 1
    found = guide("single.plain", 3, tools, Band("loss", wanted, 100.0), rounds=9).dialog.meta["complexity"]
    assert found["in_band"]
    assert found["rounds"][-1]["operator"] == "more distractors"
    assert found["rounds"][-1]["requests"] == 0  # other candidates cost no words


@given(st.floats(0, 10), st.floats(0, 5), st.floats(0, 10))
def test_how_far_is_zero_inside_alone(lower, width, value):
    band = Band("loss", lower, lower + width)
    away = band.beyond(value)
    assert (away == 0) == (band.lower <= value <= band.upper) or math.isclose(away, 0)
    assert (away < 0) == (value < band.lower)


def test_no_dial_turns_for_ever():
    for operator in OPERATORS:
        difficulty, turns = Difficulty(), 0
        while (turned := operator.turn(difficulty)) is not None and turns < 50:
            difficulty, turns = turned, turns + 1
        assert turns < 10, operator.name


def test_a_wrong_band_is_the_users_error(tmp_path):
    path = tmp_path / "band.yaml"
    for text, reason in (
        ("lower: 1", "no band there"),
        ("{measure: loss, lower: 2, upper: 1}", "lower below upper"),
        ("{measure: failure, lower: 0.2, upper: 0.8}", "is a band of failure"),
    ):
        path.write_text(text)
        config = parse(
            {
                "pools": {"small": {"engine": "simulated"}},
                "roles": dict.fromkeys(("writer", "user", "assistant", "tool", "judge", "target"), "small"),
                "complexity": {"band": str(path)},
            }
        )
        with pytest.raises(UserError, match=reason):
            check_band(config)
    with pytest.raises(UserError, match=r"roles.target is missing"):
        parse({"complexity": {"measure": True}})
