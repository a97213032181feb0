"""Any OpenAI-compatible server over one shared aiohttp session. It cannot score: the chat API gives no prompt logprobs.

Invariants: what a server takes is found out by asking and remembered (`dialect`); passing faults are asked again with
growing pauses until the request's deadline, answers that are none a few times; nobody waits for what the deadline does
not leave time for; no message holds the key.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import Awaitable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import aiohttp

from toolace_ray.engines.dialect import Dialect, extracted
from toolace_ray.engines.faults import Fault, read_fault
from toolace_ray.engines.protocol import (
    BadRequest,
    Capabilities,
    EngineDead,
    EngineError,
    EngineRefused,
    EngineTimeout,
    GenerateRequest,
    Generation,
    Sample,
    Score,
    ScoreRequest,
    Unsupported,
    answered,
)
from toolace_ray.schemas.validate import validates

logger = logging.getLogger(__name__)
T = TypeVar("T")

MAX_BODY = 16 << 20
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 30.0  # seconds between two tries of a request
TRIES = 4  # of a request whose answers are none
NEVER, LOST = (
    12,
    60,
)  # answers in a row that were none, after which the server counts as unusable: had it never answered,
# and had it answered once
FORBIDDEN = 5  # 403 in a row, after which it is not the prompts
SCHEMA_TRIES = 2  # more, for an answer that does not validate where the server keeps no schema
TOO_LONG = 3600.0  # seconds that a server asks to wait, from which the run ends and is better started again
CONNECTING = 30.0  # seconds for a connection to be made
BYTES_PER_TOKEN = 4  # for estimates alone


@dataclass(frozen=True)
class _Part:
    """Answers, and what they took."""

    samples: tuple[Sample, ...]
    prompt_tokens: int
    cached_tokens: int
    estimated: int


@dataclass
class _Call:
    """One request on its way: until when, and what the server said last in place of an answer."""

    request: GenerateRequest
    deadline: float
    last: str = ""


class OpenAIEngine:
    """Chat completions over HTTP. Busy and failing answers are asked again until the request's deadline.

    Args:
        url: base URL with /v1.
        model: the model's name on that server.
        api_key: sent as a bearer token when not empty; never logged.
        context: the model's context in tokens, for planning alone.
        max_connections: connections of the shared session.
        thinking_tokens: tokens that a reasoning model may think beyond max_tokens; 0 for models that don't think.
        body: more fields of every request's body; null leaves out one that would be sent.
        pool: the pool's name in the configuration, for messages.
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        api_key: str = "",
        context: int = 8192,
        max_connections: int = 256,
        thinking_tokens: int = 0,
        body: Mapping[str, Any] | None = None,
        pool: str = "",
    ) -> None:
        self.capabilities = Capabilities(model=model, context=context, score=False, reason=thinking_tokens > 0)
        self._thinking = thinking_tokens
        base = url.rstrip("/").removesuffix("/chat/completions")
        self._url, self._models = f"{base}/chat/completions", f"{base}/models"
        self._name = f"pools.{pool or '<name>'}"
        self._where = f"pool {pool}: {self._url}" if pool else self._url
        self._key = api_key
        self._limit = max_connections
        self._session: aiohttp.ClientSession | None = None
        self._dialect = Dialect(body or {}, lambda told: logger.warning("%s %s", self._where, told))
        self._has_answered = self._has_estimated = False
        self._none = 0  # answers in a row that were none
        self._forbidden = 0
        self._not_before, self._why = 0.0, ""  # the server asked everybody to wait until then

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:  # made here, since a session belongs to the loop that runs it
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._limit),
                headers={"Authorization": f"Bearer {self._key}"} if self._key else {},
                # A request's deadline is the only one; aiohttp's own would end it after five minutes.
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECTING),
            )
        return self._session

    async def generate(self, request: GenerateRequest) -> Generation:
        """See Engine.generate."""
        call = _Call(request, asyncio.get_running_loop().time() + request.timeout)
        try:
            async with asyncio.timeout(request.timeout):
                part = await self._samples(call, request.n, 0, SCHEMA_TRIES)
        except TimeoutError as error:
            last = f"; last: {call.last}" if call.last else ""
            raise EngineTimeout(f"{self._where}: no answer within {request.timeout:.0f} s{last}") from error
        if part.estimated and not self._has_estimated:
            self._has_estimated = True
            logger.warning(
                "%s does not say how many tokens an answer took; they are estimated by its length", self._where
            )
        return Generation(part.samples, part.prompt_tokens, part.cached_tokens, part.estimated)

    async def _samples(self, call: _Call, n: int, shift: int, tries: int) -> _Part:
        """Exactly n samples; those that don't keep the schema are asked for again where the server keeps none."""
        part, body = await self._drawn(call, n, shift)
        schema = call.request.json_schema
        if schema is None:
            return part
        finished = [sample.text for sample in part.samples if sample.finish == "stop"]
        if not self._dialect.answered(finished, body):
            again = await self._samples(call, n, shift, tries)
            return _joined(again.samples, (part, again), part.samples)
        samples = [replace(sample, text=extracted(sample.text)) for sample in part.samples]
        good: list[Sample] = []
        bad: list[Sample] = []
        for sample in samples:
            (good if validates(sample.text, schema) else bad).append(sample)
        if "response_format" in body or not bad or not tries:
            return replace(part, samples=tuple(samples))
        again = await self._samples(call, len(bad), shift + n, tries - 1)
        return _joined((*good, *again.samples), (part, again), bad)

    async def _drawn(self, call: _Call, n: int, shift: int) -> tuple[_Part, dict[str, Any]]:
        """Exactly n samples, in as many requests as the server needs, and the body of the last of them."""
        first, body = await self._asked(call, 1 if self._dialect.one_by_one else n, shift)
        drawn = [first]
        if missing := n - len(first.samples):
            if "n" in body:
                self._dialect.draws_one()
            more = await _together(self._asked(call, 1, shift + n - missing + i) for i in range(missing))
            drawn += [part for part, _ in more]
            body = more[-1][1]
        return _joined([sample for part in drawn for sample in part.samples], drawn), body

    async def _asked(self, call: _Call, n: int, shift: int) -> tuple[_Part, dict[str, Any]]:
        """The answer to one request and the body that it answers; at least one sample and at most n."""
        pause, broken = FIRST_PAUSE, 0
        while True:
            await self._admitted(call)
            body = self._dialect.body(call.request, self.capabilities.model, n, shift, self._thinking)
            try:
                answer = await self._post(body)
            except aiohttp.ClientError as error:  # the connection broke midway: the same request may be sent again
                call.last = f"the connection broke ({type(error).__name__})"
                await asyncio.sleep(pause * (0.5 + random.random()))
                pause = min(pause * 2, LONGEST_PAUSE)
                continue
            if not isinstance(answer, Fault):
                self._has_answered, self._none, self._forbidden = True, 0, 0
                return self._part(answer, body, call.request, n), body
            call.last = str(answer)
            if self._dialect.learn(answer, body):
                continue
            broken += answer.kind == "broken"
            self._judge(answer, broken)
            if answer.retry_after is None:
                await asyncio.sleep(pause * (0.5 + random.random()))
            elif answer.retry_after >= TOO_LONG:
                raise EngineRefused(
                    f"{self._where} asks to wait {answer.retry_after:.0f} s ({answer}); run the same command again after that time"
                )
            else:
                until = asyncio.get_running_loop().time() + answer.retry_after
                self._not_before, self._why = max((self._not_before, self._why), (until, str(answer)))
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _admitted(self, call: _Call) -> None:
        """Wait as long as the server asked everybody to; raise EngineTimeout at once where the deadline is nearer."""
        now = asyncio.get_running_loop().time()
        wait, left = self._not_before - now, call.deadline - now
        if wait > left:
            raise EngineTimeout(
                f"{self._where} asks to wait {wait:.0f} s more, and {max(left, 0):.0f} s are left of the request's "
                f"{call.request.timeout:.0f} s (execution.request_timeout); last: {self._why}"
            )
        if wait > 0:
            await asyncio.sleep(wait + random.random() * min(0.1 * wait, 1.0))  # not all at once

    def _judge(self, fault: Fault, broken: int) -> None:
        """Raise what a fault means, unless the request may be asked again."""
        told = f"{self._where} answered {fault}"
        if fault.kind == "passing":
            return
        if fault.kind == "spent":
            raise EngineRefused(
                f"{told}; the quota or credit is spent: top it up or name another server in {self._name}.url, then run the same "
                "command again"
            )
        if fault.kind == "key":
            raise EngineRefused(
                f"{told}; check the key in the environment variable that {self._name}.api_key_env names"
            )
        if fault.kind == "away":
            raise EngineRefused(
                f"{told}; check {self._name}.url (with /v1 where the server has it) and {self._name}.model"
            )
        self._none += 1
        self._forbidden = self._forbidden + 1 if fault.kind == "forbidden" else 0
        if fault.kind == "forbidden" and (not self._has_answered or self._forbidden >= FORBIDDEN):
            raise EngineRefused(
                f"{told}; check what the key in the environment variable of {self._name}.api_key_env may do and whether "
                f"it may use {self._name}.model"
            )
        if self._none >= (LOST if self._has_answered else NEVER):
            raise EngineRefused(
                f"{told}, and none of the {self._none} answers before was a chat completion; check {self._name}.url, model and "
                "body (`toolace check --probe` asks the server once)"
            )
        if fault.kind != "broken":
            raise BadRequest(told)
        if broken >= TRIES:
            raise EngineError(f"{told}, {TRIES} times")

    async def _post(self, body: dict[str, Any]) -> dict[str, Any] | Fault:
        """A chat completion, or what was answered in its place. Raises EngineError, aiohttp.ClientError."""
        try:
            # Redirects are not followed: most turn the request into another one, and what they lead to is no API.
            async with self._open().post(self._url, json=body, allow_redirects=False) as response:
                raw = await _whole(response)
                if len(raw) > MAX_BODY:
                    raise EngineError(f"{self._where}: the answer is larger than {MAX_BODY} bytes")
                if 200 <= response.status < 300 and (answer := _completion(raw)) is not None:
                    return answer
                return read_fault(response.status, response.headers, raw, self._key)
        except aiohttp.ClientConnectorCertificateError as error:
            raise EngineRefused(
                f"{self._where}: the server's certificate is not trusted ({error.certificate_error}); name the file of its "
                f"authority in SSL_CERT_FILE ({self._name}.env)"
            ) from error
        except aiohttp.InvalidURL as error:
            raise EngineRefused(f"{self._where}: no such address; check {self._name}.url") from error
        except aiohttp.ClientConnectorError as error:
            reason = error.strerror or type(error).__name__
            raise EngineDead(
                f"{self._where}: no connection ({reason}); does the server of {self._name}.url run?"
            ) from error
        except aiohttp.ConnectionTimeoutError as error:
            raise EngineDead(f"{self._where}: no connection within {CONNECTING:.0f} s") from error

    def _part(self, answer: dict[str, Any], body: dict[str, Any], request: GenerateRequest, n: int) -> _Part:
        choices = sorted(answer["choices"], key=_index)[:n]
        usage = answer.get("usage")
        usage = usage if isinstance(usage, dict) else {}
        details = usage.get("prompt_tokens_details")
        cached = _count(details.get("cached_tokens")) if isinstance(details, dict) else 0
        texts = [_texts(choice["message"]) for choice in choices]
        if all(
            choice.get("finish_reason") == "content_filter" and not text
            for choice, (text, _) in zip(choices, texts, strict=True)
        ):
            raise BadRequest(
                f"{self._where}: the server's moderation withheld the answer (finish_reason content_filter)"
            )
        total, prompt = _count(usage.get("completion_tokens")), _count(usage.get("prompt_tokens"))
        estimated = 0
        if not prompt:
            estimated = prompt = _estimate("".join(message["content"] for message in body["messages"]))
        samples = []
        for index, (choice, (text, thought)) in enumerate(zip(choices, texts, strict=True)):
            tokens = total // len(choices) + (index < total % len(choices)) if total else _estimate(text + thought)
            estimated += 0 if total or not (text or thought) else tokens
            finish = "length" if choice.get("finish_reason") in ("length", "content_filter") else "stop"
            if self._thinking or (request.stop and "stop" not in body):
                samples.append(answered(text, thought, finish, tokens, request.stop))
            else:
                samples.append(Sample(text, finish, tokens, thought))
        return _Part(tuple(samples), prompt, min(cached, prompt), estimated)

    async def score(self, request: ScoreRequest) -> Score:
        """Always raises Unsupported."""
        raise Unsupported(f"{self._where}: an OpenAI-compatible chat server returns no prompt log-probabilities")

    async def listed_context(self, timeout: float) -> int | None:
        """The context that the server's list of models gives for this one, in tokens; None where it gives none."""
        try:
            async with asyncio.timeout(timeout), self._open().get(self._models) as response:
                listed = json.loads(await _whole(response))
        except (aiohttp.ClientError, TimeoutError, ValueError, RecursionError):
            return None
        models = listed.get("data") if isinstance(listed, dict) else None
        for model in models if isinstance(models, list) else ():
            if isinstance(model, dict) and model.get("id") == self.capabilities.model:
                for name in ("max_model_len", "context_length", "context_window", "max_context_length"):
                    if context := _count(model.get(name)):
                        return context
        return None

    @property
    def takes(self) -> list[str]:
        """What the server takes, as far as was found out, a line each."""
        return self._dialect.takes()

    async def close(self) -> None:
        """Close the session."""
        if self._session is not None:
            await self._session.close()


def _completion(raw: bytes) -> dict[str, Any] | None:
    """A chat completion with at least one answer, None when the body is something else."""
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    choices = value.get("choices") if isinstance(value, dict) else None
    if not isinstance(choices, list) or not choices:
        return None
    for choice in choices:
        if not isinstance(choice, dict) or not isinstance(choice.get("message"), dict) or choice.get("error"):
            return None
    return dict(value)


def _index(choice: dict[str, Any]) -> int:
    return _count(choice.get("index"))


def _count(value: Any) -> int:
    """A number of tokens; 0 for what is none."""
    return int(value) if isinstance(value, int | float) and 0 < value < 1 << 48 else 0


def _estimate(text: str) -> int:
    return len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN + 1


def _texts(message: dict[str, Any]) -> tuple[str, str]:
    """What a message says and what was thought before it. vLLM calls that reasoning, DeepSeek and others reasoning_content."""
    text = message.get("content") or ""
    if isinstance(text, list):  # some servers send parts
        text = "".join(str(part.get("text") or "") for part in text if isinstance(part, dict))
    return str(text), str(message.get("reasoning") or message.get("reasoning_content") or "")


def _joined(samples: Iterable[Sample], parts: Iterable[_Part], dropped: Iterable[Sample] = ()) -> _Part:
    """Parts as one with these samples; what the dropped ones took is counted with the first."""
    parts, (first, *rest) = list(parts), samples
    first = replace(first, tokens=first.tokens + sum(sample.tokens for sample in dropped))
    return _Part(
        (first, *rest),
        sum(part.prompt_tokens for part in parts),
        sum(part.cached_tokens for part in parts),
        sum(part.estimated for part in parts),
    )


async def _together(asked: Iterable[Awaitable[T]]) -> list[T]:
    """All results; the first failure cancels the others."""
    tasks = [asyncio.ensure_future(one) for one in asked]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _whole(response: aiohttp.ClientResponse) -> bytes:
    """An answer's body, or a little more than MAX_BODY of one that is larger."""
    chunks, size = [], 0
    async for chunk in response.content.iter_any():
        chunks.append(chunk)
        size += len(chunk)
        if size > MAX_BODY:
            break
    return b"".join(chunks)
