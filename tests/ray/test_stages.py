"""The verifying stream on real Ray Data."""

from actors.planner import Planner, PlannerActor
from actors.stages.stream import stream
from tests.material import SEARCH, WEATHER, draft_row
from toolace_ray.config.load import parse
from toolace_ray.store.rows import DRAFT
from toolace_ray.store.settle import Flow
from toolace_ray.store.storage import RunStore


def test_one_draft_that_is_poison_does_not_stop_the_stream(ray_local, tmp_path):
    store = RunStore(str(tmp_path))
    store.make("drafts/apis", "apis", "rejected")
    records = ["{}", WEATHER.model_dump_json(), SEARCH.model_dump_json()]
    rows = [draft_row("api", number, record, key=f"{number}") for number, record in enumerate(records)]
    store.write("drafts/apis", "e-apis-1.parquet", rows, DRAFT)
    planner = Planner({"api": (2, 3)})
    planner.restore([], [("api", number) for number in range(3)])
    planner.shards.append(("e-apis-1.parquet", None))
    handle = ray_local.remote(PlannerActor).options(num_cpus=0, max_concurrency=1000).remote(planner)
    stream(Flow("apis", "apis", "drafts/apis", "apis", {}), store.uri, parse({}), {}, handle, "e")
    assert ray_local.get(handle.status.remote())["types"]["api"]["reached"]
    assert sorted(row["id"] for row in store.rows("apis")) == ["api-1", "api-2"]
    assert [(row["id"], row["stage"], row["rule"]) for row in store.rows("rejected")] == [("api-0", "gate", "internal")]
