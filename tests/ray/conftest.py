import os

import pytest


@pytest.fixture(scope="session")
def isolated_home(tmp_path_factory):
    """A HOME of its own: a local Ray writes its token there, and finds nobody else's."""
    home = tmp_path_factory.mktemp("home")
    before = os.environ.get("HOME")
    os.environ["HOME"] = str(home)
    yield home
    if before is not None:
        os.environ["HOME"] = before


@pytest.fixture(scope="module")
def ray_local(isolated_home):
    import ray

    ray.init(address="local", num_cpus=4, include_dashboard=False, log_to_driver=False, object_store_memory=128 << 20)
    yield ray
    ray.shutdown()
