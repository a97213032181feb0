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
