"""How many dialogs a worker plays at once."""

import pytest

from toolace_ray.config.load import parse
from toolace_ray.config.tree import ROLES
from toolace_ray.engines.protocol import Capabilities
from toolace_ray.engines.roles import in_flight

VLLM, SERVER = Capabilities("m", 4096, sequences=48), Capabilities("m", 4096)


def config(**execution):
    pool = {"engine": "simulated", "max_in_flight": 40, "replicas": 2}
    pools = {"small": pool, "judges": {**pool, "replicas": 8}, "big": {**pool, "max_in_flight": 8, "replicas": 1}}
    roles = {**dict.fromkeys(ROLES, "small"), "judge": "judges", "assistant": {"small": 0.5, "big": 0.5}}
    return parse(
        {"pools": pools, "roles": roles, "execution": execution, "generate": {"query_samples": 5, "answer_samples": 3}}
    )


@pytest.mark.parametrize(
    ("capabilities", "execution", "dialogs"),
    [
        (SERVER, {}, 2 * 40 + 8),
        (SERVER, {"workers": 4}, 22),
        (
            VLLM,
            {},
            2 * 18 + 8,
        ),  # 48 samples are 12 requests, and half as many again: more than a replica of `big` takes
        (VLLM, {"workers": 100}, 1),
        (VLLM, {"in_flight": 5, "workers": 4}, 5),
    ],
)
def test_the_pools_that_play_are_filled_and_a_number_stands(capabilities, execution, dialogs):
    pools = dict.fromkeys(("small", "judges", "big"), capabilities)
    assert in_flight(config(**execution), pools) == dialogs
