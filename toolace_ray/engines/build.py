"""An engine from a pool's configuration."""

from __future__ import annotations

import os

from toolace_ray.config.tree import PoolConfig
from toolace_ray.engines.cores import Share
from toolace_ray.engines.openai import OpenAIEngine
from toolace_ray.engines.protocol import Engine
from toolace_ray.engines.simulated import SimulatedEngine
from toolace_ray.errors import UserError
from toolace_ray.models import resolve


def api_key(config: PoolConfig, pool: str = "") -> str:
    """The key of a pool's server, from the environment variable that api_key_env names; "" where it names none.

    Raises:
        UserError: the variable is not set, or holds what no header can carry.
    """
    if not config.api_key_env:
        return ""
    key = os.environ.get(config.api_key_env, "").strip()
    if key and key.isascii() and key.isprintable():
        return key
    where = f"pools.{pool}.api_key_env" if pool else "api_key_env"
    problem = "holds what no header can carry" if key else "is not set"
    raise UserError(f"{where}: the environment variable {config.api_key_env} {problem}")


def build(config: PoolConfig, share: Share, pool: str = "", work: float = 0) -> Engine:
    """The engine of one replica, with its share of the machine.

    Args:
        pool: its pool's name.
        work: the tokens that it is expected to generate.

    Raises:
        UserError, EngineError: it can't be made.
    """
    if config.engine == "openai":
        return OpenAIEngine(
            config.url,
            config.model,
            api_key=api_key(config, pool),
            context=config.context,
            max_connections=config.max_in_flight,
            thinking_tokens=config.thinking_tokens,
            body=config.body,
            pool=pool,
        )
    if config.engine == "simulated":
        return SimulatedEngine(context=config.context, **config.simulated.model_dump())
    from toolace_ray.engines.vllm import VllmEngine  # imports torch and vllm

    options = {"max_num_seqs": config.max_in_flight, **config.options}
    if config.reasoning_parser:
        options["reasoning_parser"] = config.reasoning_parser
    if config.gpus > 1:
        options |= {
            "tensor_parallel_size": config.tensor_parallel,
            "pipeline_parallel_size": config.pipeline_parallel,
            "distributed_executor_backend": "ray",
        }
    return VllmEngine(resolve(config.model), config.thinking_tokens, share, work, **options)
