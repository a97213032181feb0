"""An OpenAI-compatible server on the loopback with a model of time and of failures.

Answers a request with a schema by an instance of it, any other by a fixed text; fails every k-th request when told to;
serves `slots` requests at once; counts what it sees. What servers differ in:

    script: answers to the first requests, each (status, body, headers) or None for a good one; the last one stands for all
        that follow where `forever` is set. A body that is no bytes is sent as JSON.
    refuses: field -> the error (a body) of a 400 for every request that has the field.
    ignores: what it takes no notice of: `n`, `response_format`; `usage` for one that counts nothing.
    says: texts that it answers with in turn, whatever is asked; the last one stands for all that follow.
    context: what its list of models says.
"""

import asyncio
import contextlib
import json
import random
import threading

from aiohttp import web

from toolace_ray.schemas.draw import instance


class MockServer:
    """Use as a context manager; `url` is the base with /v1."""

    def __init__(
        self,
        latency=0.0,
        slots=64,
        fail_every=0,
        fail_status=429,
        body=None,
        script=(),
        forever=False,
        refuses=None,
        ignores=(),
        says=(),
        context=None,
    ):
        self.latency, self.slots, self.fail_every, self.fail_status, self.body = (
            latency,
            slots,
            fail_every,
            fail_status,
            body,
        )
        self.script, self.forever = list(script), forever
        self.refuses, self.ignores, self.says, self.context = refuses or {}, ignores, list(says), context
        self.requests = self.failed = self.flying = self.most_flying = 0
        self.seen = []

    @property
    def bodies(self):
        """The bodies of all requests."""
        return [body for body, _ in self.seen]

    def _scripted(self):
        if not self.script:
            return None
        return self.script[0] if self.forever and len(self.script) == 1 else self.script.pop(0)

    async def _chat(self, request):
        self.requests += 1
        self.seen.append((await request.json(), dict(request.headers)))
        asked = self.seen[-1][0]
        if (scripted := self._scripted()) is not None:
            status, body, *headers = scripted
            self.failed += 1
            if not isinstance(body, bytes):
                body = json.dumps(body).encode()
            return web.Response(status=status, body=body, headers=headers[0] if headers else None)
        for name, error in self.refuses.items():
            if name in asked:
                self.failed += 1
                return web.json_response(error, status=400)
        if self.fail_every and self.requests % self.fail_every == 0:
            self.failed += 1
            return web.json_response({"error": {"message": "injected"}}, status=self.fail_status)
        async with self._room:
            self.flying += 1
            self.most_flying = max(self.most_flying, self.flying)
            try:
                await asyncio.sleep(self.latency)
            finally:
                self.flying -= 1
        if self.body is not None:
            return web.Response(body=self.body, content_type="application/json")
        schema = (asked.get("response_format") or {}).get("json_schema", {}).get("schema")
        if "response_format" in self.ignores:
            schema = None
        rng = random.Random(json.dumps(asked, sort_keys=True))
        count = 1 if "n" in self.ignores else asked.get("n", 1)
        texts = [json.dumps(instance(schema, rng)) if schema else "A fixed answer." for _ in range(count)]
        if self.says:
            texts = [self.says[0] if len(self.says) == 1 else self.says.pop(0) for _ in texts]
        usage = {
            "prompt_tokens": 7,
            "completion_tokens": 5 * len(texts),
            "prompt_tokens_details": {"cached_tokens": 4},
        }
        return web.json_response(
            {
                "id": "x",
                "choices": [
                    {"index": i, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
                    for i, text in enumerate(texts)
                ],
                **({} if "usage" in self.ignores else {"usage": usage}),
            }
        )

    async def _models(self, _):
        if self.context is None:
            return web.Response(status=404, text="404 page not found")
        return web.json_response({"object": "list", "data": [{"id": "m", "max_model_len": self.context}]})

    def __enter__(self):
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.url = asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)
        return self

    async def _start(self):
        self._room = asyncio.Semaphore(self.slots)
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_get("/v1/models", self._models)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"

    def __exit__(self, *_):
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        with contextlib.suppress(RuntimeError):
            self._loop.close()
