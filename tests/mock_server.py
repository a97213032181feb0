"""An OpenAI-compatible server on the loopback with a model of time and of failures.

Answers a request with a schema by an instance of it, any other by a fixed text; fails every k-th request when told to;
serves `slots` requests at once; counts what it sees.
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

    def __init__(self, latency=0.0, slots=64, fail_every=0, fail_status=429, body=None):
        self.latency, self.slots, self.fail_every, self.fail_status, self.body = (
            latency,
            slots,
            fail_every,
            fail_status,
            body,
        )
        self.requests = self.failed = self.flying = self.most_flying = 0
        self.seen = []

    async def _chat(self, request):
        self.requests += 1
        self.seen.append((await request.json(), dict(request.headers)))
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
        body = self.seen[-1][0]
        schema = (body.get("response_format") or {}).get("json_schema", {}).get("schema")
        rng = random.Random(json.dumps(body, sort_keys=True))
        texts = [json.dumps(instance(schema, rng)) if schema else "A fixed answer." for _ in range(body.get("n", 1))]
        return web.json_response(
            {
                "id": "x",
                "choices": [
                    {"index": i, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
                    for i, text in enumerate(texts)
                ],
                "usage": {
                    "prompt_tokens": 7,
                    "completion_tokens": 5 * len(texts),
                    "prompt_tokens_details": {"cached_tokens": 4},
                },
            }
        )

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
