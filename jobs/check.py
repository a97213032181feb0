"""What a configuration would do, found out without starting anything; what its servers can do, by asking each once."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator

from toolace_ray.config.tree import Config, PoolConfig
from toolace_ray.dlv.layer import layer, registered
from toolace_ray.errors import UserError
from toolace_ray.models import REGISTRY, fetched, resolve
from toolace_ray.schemas.validate import validates
from toolace_ray.sdg import balance
from toolace_ray.sdg.difficulty.guide import check_band
from toolace_ray.store.storage import RunStore
from toolace_ray.text.tidy import printable
from toolace_ray.tss import sources, specs

# Measured on the demo with the 0.5B model (docs/benchmarks.md); an estimate is all they are good for.
TOKENS_A_DOCUMENT = 240
TOKENS_AN_API = 800
TOKENS_A_DESCRIPTION = 60  # of all its candidates
TOKENS_A_DIALOG = 2100
PROBE_SECONDS = 120.0  # for a server's answer
PROBE_TOKENS = 64
PROBE_SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string", "enum": ["Paris", "Lyon"]}, "river": {"type": "string"}},
    "required": ["city", "river"],
    "additionalProperties": False,
}


def check(config: Config) -> str:
    """The plan of a run in a few lines. Raises UserError for what would fail."""
    store = RunStore(config.run.path)
    files = sources.files(config.sources)
    imported, unreadable, undescribed = 0, 0, 0
    for kind, importer in specs.IMPORTERS.items():
        for path in files[kind]:
            try:
                for item in importer(path, config.sources.undescribed):
                    if not isinstance(item, str):
                        imported += 1
                        undescribed += len(item.lineage.undescribed)
            except UserError:
                if path in sources.named(config.sources)[kind]:
                    raise
                unreadable += 1
    lines = [
        f"run: {store.root} ({'goes on with what is there' if store.exists('run.yaml') else 'new'}), seed {config.run.seed}, "
        f"fingerprint {config.fingerprint()}",
        f"ray: {'a local instance' if config.ray.address == 'local' else f'the cluster at {config.ray.address!r}'}",
    ]
    for name, pool in config.used_pools.items():
        roles = ", ".join(role for role in config.roles if name in config.mix(role))
        lines.append(f"pool {name}: {_pool_text(name, pool)}; roles: {roles}")
    idle = sorted(set(config.pools) - set(config.used_pools))
    if idle:
        lines.append(f"pools that no role uses: {', '.join(idle)}")
    cpus, gpus = config.reserved
    lines.append(f"resources: {gpus} GPUs, {cpus:g} CPUs for replicas and workers, some more for verification")
    counted = ", ".join(f"{kind} {len(paths)}" for kind, paths in files.items() if paths)
    lines.append(
        f"sources: files: {counted or 'none'}; {imported} APIs imported from them"
        + (f" ({unreadable} of them are none)" if unreadable else "")
        + (f", and {', '.join(config.sources.mcp_servers)} asked live" if config.sources.mcp_servers else "")
        + (f"; {undescribed} descriptions are to be written" if config.sources.undescribed == "write" else "")
    )
    settings = config.evolve
    lines.append(
        f"evolve: {settings.apis} APIs to synthesise in generations of {settings.generation_size}, up to "
        f"{settings.max_level} functionalities and {settings.max_indicators} indicators each"
    )
    check_band(config)
    quotas, _ = balance.quotas(config.generate)
    lines.append(
        f"generate: {sum(quotas.values())} dialogs ({', '.join(f'{kind} {number}' for kind, number in quotas.items() if number)}), "
        f"at most {config.generate.max_attempts} attempts for each"
    )
    experts = [f"{name} ({item.against} of {item.votes})" for name, item in config.verify.experts.items()]
    lines.append(f"verify: {len(layer(config.verify).rules)} rules, experts: {', '.join(experts) or 'none'}")
    tokens = expected_tokens(config) + len(files["document"]) * TOKENS_A_DOCUMENT
    if config.sources.undescribed == "write":
        tokens += undescribed * TOKENS_A_DESCRIPTION
    lines.append(f"estimate: about {tokens:,} generated tokens; divide by your engines' tokens/s for the time")
    return "\n".join(lines)


def expected_tokens(config: Config) -> int:
    """About how many tokens a run generates for the APIs and the dialogs that its configuration asks for."""
    quotas, _ = balance.quotas(config.generate)
    return config.evolve.apis * TOKENS_AN_API + sum(quotas.values()) * TOKENS_A_DIALOG


def _pool_text(name: str, config: PoolConfig) -> str:
    where = f"{config.replicas} x {config.engine}"
    if config.engine == "simulated":
        return f"{where} (no model: for rehearsals, its dialogs are no data)"
    if config.engine == "openai":
        from toolace_ray.engines.build import api_key

        api_key(config, name)
        return f"{where} {config.model} at {config.url}"
    place = f"{config.gpus} GPUs each" if config.gpus else f"CPU, {config.cpus:g} reserved each"
    if config.model in REGISTRY:
        entry = REGISTRY[config.model]
        state = "in the cache" if fetched(config.model) else "to be fetched"
        return f"{where} {config.model} ({entry.parameters}, {entry.licence}, {state}), {place}"
    return f"{where} {resolve(config.model, fetch_missing=False)}, {place}"


def probe(config: Config) -> Iterator[str]:
    """Ask the server of each pool once and say what it can do, a paragraph each. Starts nothing.

    Raises:
        UserError: at the end, where a server gave no answer.
    """
    failed = []
    for name, pool in config.pools.items():
        if pool.engine == "openai":
            told, answers = asyncio.run(_probed(name, pool, config.execution.request_timeout))
            if not answers:
                failed.append(name)
            yield printable(told)
        else:
            yield f"pool {name}: {pool.engine}, not asked: a probe starts no engine, it asks servers that run (engine: openai)"
    if failed:
        raise UserError(f"no answer from {', '.join(f'pools.{name}' for name in failed)}; see above")


async def _probed(name: str, config: PoolConfig, request_timeout: float) -> tuple[str, bool]:
    """What a pool's server can do, and whether it answers."""
    from toolace_ray.engines.build import build
    from toolace_ray.engines.cores import Share
    from toolace_ray.engines.openai import OpenAIEngine
    from toolace_ray.engines.protocol import EngineError, GenerateRequest

    logging.getLogger(OpenAIEngine.__module__).setLevel(logging.ERROR)  # what it finds out is said below
    engine = build(config, Share(), name)
    assert isinstance(engine, OpenAIEngine)
    question = "Which city has the Eiffel Tower, and which river flows through it?"
    # Not a deterministic one: servers that refuse a temperature or a seed are to show it.
    request = GenerateRequest(
        [{"role": "user", "content": question}],
        max_tokens=PROBE_TOKENS,
        n=2,
        temperature=0.7,
        seed=1,
        stop=("\n\n\n",),
        json_schema=PROBE_SCHEMA,
        timeout=min(PROBE_SECONDS, request_timeout),
    )
    started = time.monotonic()
    try:
        answer = await engine.generate(request)
        seconds = time.monotonic() - started
        listed = await engine.listed_context(request.timeout)
    except EngineError as error:
        return f"pool {name}: {config.model} at {config.url} gave no answer: {error}", False
    finally:
        await engine.close()
    lines = [f"pool {name}: {config.model} at {config.url} answers ({seconds:.1f} s)"]
    lines += engine.takes
    if answer.estimated:
        lines.append("tokens: it counts none; they are estimated by the texts' length")
    else:
        lines.append(f"tokens: it counts them (prompt {answer.prompt_tokens}, answers {answer.tokens})")
    if listed is None:
        lines.append(f"context: its list of models does not say; pools.{name}.context is {config.context}")
    else:
        differs = listed < config.context
        lines.append(
            f"context: {listed} tokens"
            + (f"; pools.{name}.context is {config.context}: set it to {listed} at most" if differs else "")
        )
    if any(sample.finish == "length" for sample in answer.samples):
        lines.append(
            f"an answer was cut at {PROBE_TOKENS} tokens: a model that thinks needs pools.{name}.thinking_tokens"
        )
    elif not all(validates(sample.text, PROBE_SCHEMA) for sample in answer.samples):
        lines.append(f"an answer does not keep the schema: {answer.samples[-1].text[:100]!r}")
    return "\n  ".join(lines), True


def rules(config: Config) -> str:
    """The rules with their aspects, severities, settings and what they hold."""
    lines = []
    active = {rule.id: (severity, settings) for rule, severity, settings in layer(config.verify).rules}
    for rule in registered():
        severity, settings = active.get(rule.id, ("off", {}))
        settings_text = ", ".join(f"{key}={settings.get(key, default)}" for key, default in rule.settings.items())
        lines.append(
            f"{rule.id:20} {rule.aspect:13} {severity:7} {rule.doc}" + (f" [{settings_text}]" if settings_text else "")
        )
    return "\n".join(lines)
