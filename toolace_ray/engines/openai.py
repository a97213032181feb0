"""Any OpenAI-compatible server over one shared aiohttp session. It cannot score: the chat API gives no prompt logprobs."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Mapping
from typing import Any

import aiohttp

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

RETRIED = {408, 409, 425, 429, 500, 502, 503, 504}
REFUSED = {401, 402, 403, 404}
MAX_BODY = 16 << 20


class OpenAIEngine:
    """Chat completions over HTTP. Busy and failing answers are asked again until the request's deadline.

    Args:
        url: base URL with /v1.
        model: the model's name on that server.
        api_key: sent as a bearer token when not empty; never logged.
        context: the model's context in tokens, for planning alone.
        max_connections: connections of the shared session.
        thinking_tokens: tokens that a reasoning model may think beyond max_tokens; 0 for models that don't think.
        body: more fields of every request's body.
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
    ) -> None:
        self.capabilities = Capabilities(model=model, context=context, score=False, reason=thinking_tokens > 0)
        self._thinking = thinking_tokens
        self._body = dict(body or {})
        self._url = f"{url.rstrip('/')}/chat/completions"
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._limit = max_connections
        self._session: aiohttp.ClientSession | None = None

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:  # made here, since a session belongs to the loop that runs it
            connector = aiohttp.TCPConnector(limit=self._limit)
            self._session = aiohttp.ClientSession(connector=connector, headers=self._headers)
        return self._session

    async def generate(self, request: GenerateRequest) -> Generation:
        """See Engine.generate."""
        body: dict[str, Any] = {
            "model": self.capabilities.model,
            "messages": [dict(message) for message in request.messages],
            "n": request.n,
            "max_tokens": request.max_tokens + self._thinking,
            "temperature": request.temperature,
            "top_p": request.top_p,
        }
        if request.seed is not None:
            body["seed"] = request.seed
        if request.stop and not self._thinking:  # a reasoning model's thought must not end at them
            body["stop"] = list(request.stop)
        if request.json_schema is not None:
            schema = {"name": "answer", "schema": request.json_schema, "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        try:
            async with asyncio.timeout(request.timeout):
                return self._generation(await self._post({**body, **self._body}), request)
        except TimeoutError as error:
            raise EngineTimeout(f"{self._url}: no answer within {request.timeout:.0f} s") from error

    async def _post(self, body: dict[str, Any]) -> Any:
        pause = 0.25
        while True:
            try:
                async with self._open().post(self._url, json=body) as response:
                    raw = await response.content.read(MAX_BODY + 1)
                    while len(raw) <= MAX_BODY and (chunk := await response.content.read(MAX_BODY)):
                        raw += chunk
                    if len(raw) > MAX_BODY:
                        raise EngineError(f"{self._url}: the answer is larger than {MAX_BODY} bytes")
                    if response.status == 200:
                        return json.loads(raw)
                    text = " ".join(raw[:300].decode("utf-8", "replace").split())
                    if response.status in REFUSED:
                        raise EngineRefused(f"{self._url} answered {response.status}: {text}")
                    if response.status not in RETRIED:
                        raise BadRequest(f"{self._url} answered {response.status}: {text}")
                    retry_after = response.headers.get("Retry-After", "")
                    wait = float(retry_after) if retry_after.isdigit() else pause * (0.5 + random.random())
            except aiohttp.ClientConnectorError as error:
                raise EngineDead(f"{self._url}: no connection ({error.strerror})") from error
            except aiohttp.ClientError:  # the connection broke midway: the same request may be sent again
                wait = pause
            except ValueError as error:
                raise EngineError(f"{self._url}: the answer is no JSON") from error
            await asyncio.sleep(wait)
            pause = min(pause * 2, 8.0)

    def _generation(self, answer: Any, request: GenerateRequest) -> Generation:
        count = request.n
        try:
            usage = answer.get("usage") or {}
            choices = sorted(answer["choices"], key=lambda choice: choice.get("index", 0))
            if len(choices) != count:
                raise EngineError(f"{self._url}: {len(choices)} choices for n={count}; the server may not support n")
            total = int(usage.get("completion_tokens") or 0)
            samples = tuple(
                self._sample(choice, total // count + (index < total % count), request)
                for index, choice in enumerate(choices)
            )
            cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
            return Generation(samples, int(usage.get("prompt_tokens") or 0), int(cached))
        except (KeyError, TypeError, AttributeError) as error:
            raise EngineError(f"{self._url}: the answer is no chat completion ({error!r})") from error

    def _sample(self, choice: Any, tokens: int, request: GenerateRequest) -> Sample:
        message = choice["message"]
        text, finish = message.get("content") or "", choice.get("finish_reason") or "stop"
        if isinstance(text, list):  # some servers send parts
            text = "".join(str(part.get("text") or "") for part in text if isinstance(part, dict))
        # vLLM calls it reasoning, DeepSeek and others reasoning_content.
        thought = message.get("reasoning") or message.get("reasoning_content") or ""
        if not self._thinking:
            return Sample(text, finish, tokens, str(thought))
        return answered(text, str(thought), finish, tokens, request.stop)

    async def score(self, request: ScoreRequest) -> Score:
        """Always raises Unsupported."""
        raise Unsupported(f"{self._url}: an OpenAI-compatible chat server returns no prompt log-probabilities")

    async def close(self) -> None:
        """Close the session."""
        if self._session is not None:
            await self._session.close()
