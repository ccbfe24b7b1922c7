"""A system on loopback that lists commitments by HTTPS."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trustme
from aiohttp import web

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Source:
    """What the server answers, and what it was asked."""

    answer: Answer
    address: str = ""
    asked: list[web.Request] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request)
        return await self.answer(request)


@asynccontextmanager
async def serving(authority: trustme.CA, answer: Answer) -> AsyncIterator[Source]:
    source = Source(answer)
    application = web.Application()
    application.router.add_get("/list", source.handle)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        source.address = f"https://127.0.0.1:{runner.addresses[0][1]}/list"
        yield source
    finally:
        await runner.cleanup()
