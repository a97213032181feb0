import errno
import os

import pyarrow as pa
import pytest

from toolace_ray.config.load import parse
from toolace_ray.errors import UserError
from toolace_ray.store.folder import begin
from toolace_ray.store.storage import RunStore

SCHEMA = pa.schema([("a", pa.int64())])


def test_rows_come_back_over_many_files(tmp_path):
    store = RunStore(str(tmp_path / "run"))
    store.make("x")
    for part in range(3):
        store.write("x", f"{part}.parquet", [{"a": part}, {"a": part + 10}], SCHEMA)
    assert [row["a"] for row in store.rows("x")] == [0, 10, 1, 11, 2, 12]
    assert list(store.rows("none")) == []


def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path, monkeypatch):
    store = RunStore(str(tmp_path))
    store.make("x")

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="no room on the disk"):
        store.write("x", "a.parquet", [{"a": 1}], SCHEMA)
    assert os.listdir(tmp_path / "x") == []


def test_a_file_where_the_folder_should_be(tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(UserError, match="cannot write here"):
        RunStore(str(tmp_path / "run")).make("x")


def test_a_wrong_uri():
    with pytest.raises(UserError, match=r"run\.path"):
        RunStore("nosuchscheme://x")


def test_other_content_keys_are_refused_by_name(tmp_path):
    store = RunStore(str(tmp_path))
    begin(store, parse({}), "generate")
    begin(store, parse({"generate": {"quotas": {"single": 99}}, "execution": {"workers": 3}}), "generate")
    with pytest.raises(UserError, match=r"generate\.temperature: 0\.8 -> 0\.1"):
        begin(store, parse({"generate": {"temperature": 0.1}}), "generate")
    with pytest.raises(UserError, match=r"run\.seed"):
        begin(store, parse({"run": {"seed": 1}}), "generate")


def test_generation_keys_may_change_while_only_the_pool_is_made(tmp_path):
    store = RunStore(str(tmp_path))
    begin(store, parse({}), "evolve")
    begin(store, parse({"generate": {"temperature": 0.1}}), "evolve")
    begin(store, parse({"generate": {"temperature": 0.1}}), "generate")


def test_secrets_do_not_reach_the_record(tmp_path, monkeypatch):
    monkeypatch.setenv("SOME_KEY", "sk-very-secret")
    store = RunStore(str(tmp_path))
    pool = {"engine": "openai", "url": "http://127.0.0.1:1/v1", "api_key_env": "SOME_KEY"}
    begin(store, parse({"pools": {"small": pool}}), "generate")
    assert b"sk-very-secret" not in store.read_bytes("run.yaml")


def failing(real, error, times):
    """The function, after it has failed a few times with the error."""
    left = [error] * times

    def call(*arguments, **named):
        if left:
            raise left.pop()
        return real(*arguments, **named)

    return call


@pytest.fixture
def pauses(monkeypatch):
    waited = []
    monkeypatch.setattr("toolace_ray.store.storage.time.sleep", waited.append)
    return waited


def test_a_disk_that_fails_twice_is_written_to(tmp_path, monkeypatch, pauses):
    store = RunStore(str(tmp_path))
    store.make("x")
    monkeypatch.setattr(os, "fsync", failing(os.fsync, OSError(errno.EIO, "Input/output error"), 2))
    store.write("x", "a.parquet", [{"a": 1}], SCHEMA)
    assert list(store.rows("x")) == [{"a": 1}]
    assert os.listdir(tmp_path / "x") == ["a.parquet"]
    assert pauses == sorted(set(pauses))
    assert len(pauses) == 2


class Flaky:
    """An object store whose connection breaks at its first uploads."""

    def __init__(self, real, times):
        self._real = real
        self.open_output_stream = failing(real.open_output_stream, OSError("AWS Error NETWORK_CONNECTION"), times)

    def __getattr__(self, name):
        return getattr(self._real, name)


def bucket(tmp_path, times):
    store = RunStore(str(tmp_path))
    store.make("x")
    store.local = False
    store._fs = Flaky(store._fs, times)
    return store


def test_an_object_store_that_fails_twice_gets_the_whole_object(tmp_path, pauses):
    store = bucket(tmp_path, 2)
    store.write_lines("x", "a.jsonl", iter(["1", "2"]))  # lines come once: they are not asked for again
    assert (tmp_path / "x" / "a.jsonl").read_text() == "1\n2\n"
    assert len(pauses) == 2


def test_an_object_store_that_stays_away_is_given_up(tmp_path, pauses):
    store = bucket(tmp_path, 1000)
    with pytest.raises(OSError, match="NETWORK_CONNECTION"):
        store.write("x", "a.parquet", [{"a": 1}], SCHEMA)
    assert 2 < len(pauses) < 10


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EDQUOT])
def test_what_will_not_pass_is_not_tried_again(tmp_path, monkeypatch, pauses, number):
    store = RunStore(str(tmp_path))
    store.make("x")
    monkeypatch.setattr(os, "fsync", failing(os.fsync, OSError(number, os.strerror(number)), 1))
    with pytest.raises(UserError):
        store.write("x", "a.parquet", [{"a": 1}], SCHEMA)
    assert pauses == []


def test_lines_that_broke_off_on_a_disk_are_not_written_as_if_they_were_whole(tmp_path, monkeypatch, pauses):
    store = RunStore(str(tmp_path))
    store.make("x")
    monkeypatch.setattr(os, "fsync", failing(os.fsync, OSError(errno.EIO, "Input/output error"), 1))
    with pytest.raises(OSError, match="Input/output"):
        store.write_lines("x", "a.jsonl", iter(["1", "2"]))
    assert os.listdir(tmp_path / "x") == []
