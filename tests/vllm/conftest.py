"""A tiny random model with a tokenizer of its own, made here in seconds; a real vLLM engine and a real vLLM server on it."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from unittest.mock import patch
from urllib.request import urlopen

import pytest

from jobs.cluster import ray_session
from toolace_ray.config.load import parse

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
OPTIONS = {"max_model_len": 1024, "enforce_eager": True, "dtype": "bfloat16", "kv_cache_memory_bytes": 128 << 20}


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    """A folder with a random Llama of two layers."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|im_start|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["the weather in the city is fine and a train goes there"] * 50, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|im_end|>")
    fast.chat_template = TEMPLATE
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(fast), hidden_size=128, intermediate_size=256, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=1024, eos_token_id=fast.eos_token_id, pad_token_id=fast.pad_token_id,
    )  # fmt: skip
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="session")
def loop():
    """One event loop in a thread, for engines that live on the loop they were made on."""
    running = asyncio.new_event_loop()
    thread = threading.Thread(target=running.run_forever, daemon=True)
    thread.start()

    def run(coroutine, timeout=240):
        return asyncio.run_coroutine_threadsafe(coroutine, running).result(timeout)

    yield run
    running.call_soon_threadsafe(running.stop)
    thread.join(10)


@pytest.fixture(scope="module")
def ray_local():
    """Ray as a job starts it, on the CPUs of this process; what a replica needs of the environment is for the product to set."""
    ray_config = {"num_cpus": len(os.sched_getaffinity(0)), "object_store_gb": 0.125}
    with patch.dict(os.environ, {"RAY_AUTH_MODE": "disabled"}), ray_session(parse({"ray": ray_config}), check=False):
        import ray

        yield ray


@pytest.fixture(scope="session")
def vllm_engine(tiny_model, loop):
    from toolace_ray.engines.vllm import VllmEngine

    async def make():
        return VllmEngine(tiny_model, **OPTIONS)

    engine = loop(make())
    yield engine
    loop(engine.close())


@contextlib.contextmanager
def serving(log, *command):
    """A server of this machine, started by a command that is given its port last; its base URL once it answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    with log.open("wb") as out:
        server = subprocess.Popen([*command, str(port)], stdout=out, stderr=out, start_new_session=True)
    try:
        deadline = time.monotonic() + 240
        while True:
            try:
                urlopen(f"http://127.0.0.1:{port}/health", timeout=2).close()
                break
            except OSError:
                assert server.poll() is None, log.read_text()[-2000:]
                assert time.monotonic() < deadline, log.read_text()[-2000:]
                time.sleep(0.3)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:  # it first answers what nobody waits for any more
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


@pytest.fixture(scope="session")
def vllm_server(tiny_model, tmp_path_factory):
    """vLLM's own OpenAI server on the tiny model; its base URL."""
    with serving(
        tmp_path_factory.mktemp("server") / "log",
        sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", tiny_model, "--served-model-name", "tiny",
        "--max-model-len", "1024", "--enforce-eager", "--dtype", "bfloat16", "--kv-cache-memory-bytes", str(128 << 20),
        "--host", "127.0.0.1", "--port",
    ) as url:  # fmt: skip
        yield url


@pytest.fixture(scope="session")
def transformers_server(tiny_model, tmp_path_factory):
    """The server of transformers on the tiny model: it draws one answer a request, and keeps no schema."""
    with serving(
        tmp_path_factory.mktemp("server") / "log",
        str(Path(sys.executable).with_name("transformers")), "serve", tiny_model, "--device", "cpu",
        "--host", "127.0.0.1", "--port",
    ) as url:  # fmt: skip
        yield url
