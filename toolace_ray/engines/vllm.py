"""A vLLM engine in this process (it keeps its model in a child process of its own).

Invariants: vLLM's unstable interfaces (engine arguments, sampling parameters, errors) are touched in this file alone; what
the user says to vLLM, in its options or its environment variables, is never changed.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import shutil
from collections.abc import Iterator, Mapping
from typing import Any

from toolace_ray.engines.cores import Place, Share, own_place
from toolace_ray.engines.protocol import (
    BadRequest,
    Capabilities,
    EngineDead,
    EngineError,
    EngineFull,
    EngineTimeout,
    GenerateRequest,
    Generation,
    Sample,
    Score,
    ScoreRequest,
    answered,
    check_spans,
)

CPU_BLOCK = 32  # tokens; the least for which vLLM's attention on the CPU is optimised
# By whichever of these a user tells vLLM how to spread over processes and cores, vLLM does as its documentation says.
OWN_WAYS = ("VLLM_CPU_OMP_THREADS_BIND", "VLLM_ENABLE_V1_MULTIPROCESSING")
OWN_OPTIONS = ("distributed_executor_backend", "tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size")


# Generated tokens a thread from which compiling the model wins back what it costs at the start: docs/benchmarks.md.
COMPILE_FROM = 30_000


def pays_to_compile(work: float, threads: int) -> bool:
    """True where an engine on the CPU has so much to do that it is quicker compiled, and a C++ compiler is there.

    Args:
        work: the tokens that it is expected to generate.
        threads: those that it computes with.
    """
    compiler = os.environ.get("CXX") or "g++"
    return work >= COMPILE_FROM * threads and shutil.which(compiler) is not None


def leaves_to_vllm(options: Mapping[str, Any]) -> bool:
    """True where the user, not we, says how an engine on the CPU spreads over processes and cores."""
    return any(os.environ.get(name) for name in OWN_WAYS) or any(name in options for name in OWN_OPTIONS)


@contextlib.contextmanager
def placed(place: Place) -> Iterator[None]:
    """Child processes that this thread starts meanwhile compute at `place`, in one process for each engine."""
    # vLLM's own way keeps one core back for a scheduling process, which waits for the computing one in a busy loop.
    environment = {"OMP_NUM_THREADS": str(place.threads), "VLLM_ENABLE_V1_MULTIPROCESSING": "0"}
    before = {name: os.environ.get(name) for name in environment}
    cpus = os.sched_getaffinity(0) if place.cpus else set()
    os.environ.update(environment)
    try:
        if cpus:
            os.sched_setaffinity(0, place.cpus)
        yield
    finally:
        if cpus:
            os.sched_setaffinity(0, cpus)
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


class VllmEngine:
    """An AsyncLLM behind the Engine protocol. It belongs to the event loop that uses it first.

    Args:
        model: a folder or hub id.
        thinking_tokens: tokens that a reasoning model (with the option reasoning_parser) may think beyond max_tokens.
        share: the engine's part of the machine, where it computes on the CPU; the whole machine when absent.
        work: the tokens that the engine is expected to generate; it tells whether a model on the CPU is compiled
            (`enforce_eager` says otherwise).
        options: more engine arguments of vLLM, as in its documentation.

    Raises:
        EngineError: vLLM could not load the model.
    """

    def __init__(
        self, model: str, thinking_tokens: int = 0, share: Share | None = None, work: float = 0, **options: Any
    ) -> None:
        from vllm import SamplingParams
        from vllm.config import StructuredOutputsConfig
        from vllm.engine.arg_utils import AsyncEngineArgs
        from vllm.platforms import current_platform
        from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams
        from vllm.v1.engine.async_llm import AsyncLLM

        self._params: Any = SamplingParams
        self._structured: Any = StructuredOutputsParams
        self._final = RequestOutputKind.FINAL_ONLY
        arguments = {
            "enable_prefix_caching": True,
            "disable_log_stats": True,
            # One backend, pinned: `auto` may pick another one per request, which vLLM refuses within one engine.
            "structured_outputs_config": StructuredOutputsConfig(backend="xgrammar", disable_any_whitespace=True),
            **options,
        }
        where: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
        if current_platform.is_cpu():
            # The prefix cache holds whole blocks: of vLLM's 128 tokens here, half are computed anew for every sample.
            place = own_place(share or Share())
            eager = not pays_to_compile(work, place.threads)
            arguments = {"block_size": CPU_BLOCK, "enforce_eager": eager, **arguments}
            if not leaves_to_vllm(options):
                arguments["distributed_executor_backend"] = "uni"
                where = placed(place)
        try:
            with where:
                self._llm: Any = AsyncLLM.from_engine_args(AsyncEngineArgs(model=model, **arguments))
        except Exception as error:  # vLLM raises whatever its parts raise; the caller needs one kind with the reason
            raise EngineError(f"vLLM could not load {model}: {error}") from error
        config = self._llm.vllm_config.model_config
        # vLLM 0.32's CPU sampler fails on a request with a seed of its own, and takes the engine with it.
        self._seeded = not current_platform.is_cpu()
        self._ids = itertools.count()
        self.tokenizer = self._llm.get_tokenizer()
        self._thinking = thinking_tokens
        self._parser: Any = None
        if name := options.get("reasoning_parser"):
            from vllm.reasoning import ReasoningParserManager

            self._parser = ReasoningParserManager.get_reasoning_parser(name)(self.tokenizer)
        self.capabilities = Capabilities(
            model=model,
            context=int(config.max_model_len),
            score=True,
            reason=self._parser is not None,
            sequences=int(self._llm.vllm_config.scheduler_config.max_num_seqs),
        )

    async def generate(self, request: GenerateRequest) -> Generation:
        """See Engine.generate."""
        ids = list(request.prompt_ids or ()) or self.tokenizer.apply_chat_template(
            [dict(message) for message in request.messages], add_generation_prompt=True, return_dict=False
        )
        room = self.capabilities.context - len(ids)
        if room < 1:
            raise BadRequest(f"the prompt has {len(ids)} tokens, the context {self.capabilities.context}")
        params = self._params(
            n=request.n,
            temperature=request.temperature,
            top_p=request.top_p,
            seed=request.seed if self._seeded else None,
            max_tokens=min(request.max_tokens + self._thinking, room),
            stop=list(request.stop) or None if self._parser is None else None,
            thinking_token_budget=self._thinking if self._parser is not None else None,
            structured_outputs=self._structured(json=request.json_schema) if request.json_schema else None,
            output_kind=self._final,
        )
        output = await self._run(ids, params, request.timeout)
        samples = tuple(self._sample(item, request) for item in sorted(output.outputs, key=lambda item: item.index))
        return Generation(samples, prompt_tokens=len(ids), cached_tokens=int(output.num_cached_tokens or 0))

    def _sample(self, item: Any, request: GenerateRequest) -> Sample:
        finish, tokens = str(item.finish_reason or "stop"), len(item.token_ids)
        if self._parser is None:
            return Sample(item.text, finish, tokens)
        thought, text = self._parser.extract_reasoning(item.text, None)
        return answered(text or "", thought or "", finish, tokens, request.stop)

    async def score(self, request: ScoreRequest) -> Score:
        """See Engine.score; one forward pass over the tokens, without the prefix cache."""
        check_spans(request)
        ids = list(request.token_ids)
        if len(ids) >= self.capabilities.context:
            raise BadRequest(f"{len(ids)} tokens to score, the context is {self.capabilities.context}")
        params = self._params(max_tokens=1, temperature=0.0, prompt_logprobs=0, output_kind=self._final)
        output = await self._run(ids, params, request.timeout)
        rows = output.prompt_logprobs
        return Score(
            tuple(tuple(float(rows[i][ids[i]].logprob) for i in range(start, end)) for start, end in request.spans)
        )

    async def _run(self, ids: list[int], params: Any, timeout: float) -> Any:
        from vllm import TokensPrompt
        from vllm.exceptions import MaxQueuedTokensError, QueueOverflowError, VLLMClientError
        from vllm.v1.engine.exceptions import EngineDeadError

        request_id = f"r{next(self._ids)}"
        last: Any = None
        try:
            async with asyncio.timeout(timeout):
                # Leaving the loop early (deadline, cancellation) makes vLLM abort the request.
                async for output in self._llm.generate(TokensPrompt(prompt_token_ids=ids), params, request_id):
                    last = output
        except TimeoutError as error:
            raise EngineTimeout(f"no answer within {timeout:.0f} s") from error
        except EngineDeadError as error:
            raise EngineDead(str(error)) from error
        except (QueueOverflowError, MaxQueuedTokensError) as error:
            raise EngineFull(str(error)) from error
        except (ValueError, VLLMClientError) as error:
            raise BadRequest(str(error)) from error
        if last is None or not last.finished:
            raise EngineError("the engine ended the request without an answer")
        return last

    async def close(self) -> None:
        """Stop the engine and its child process."""
        llm, self._llm = self._llm, None
        llm.shutdown()  # dropped here: its finaliser fails once the interpreter is going down
