"""Fixtures that several rooms of tests share. No test reaches beyond this machine, but for the model fetch, which says so."""

import os

import pytest
from hypothesis import settings

# How long an example takes is the machine's doing, not the code's; and a change is not judged by what is drawn by chance.
settings.register_profile("toolace", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("toolace")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
os.environ.setdefault("DO_NOT_TRACK", "1")


@pytest.fixture
def dialog():
    from tests.material import good_dialogs

    return good_dialogs()["single"]


@pytest.fixture
def store(tmp_path):
    """The store of a run that has begun and made nothing yet."""
    from toolace_ray.store import folder
    from toolace_ray.store.storage import RunStore

    made = RunStore(str(tmp_path / "run"))
    made.make(*folder.FOLDERS)
    made.write_bytes("", "run.yaml", b"{}")
    return made


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """For commands that start a Ray of their own: a HOME in which it finds nobody's token, and output line by line."""
    home = str(tmp_path_factory.mktemp("home"))
    return {**os.environ, "HOME": home, "RAY_AUTH_MODE": "disabled", "PYTHONUNBUFFERED": "1"}
