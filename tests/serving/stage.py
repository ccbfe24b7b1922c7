"""A real server on a real TLS port, whose answers a test chooses, and a client that trusts it."""

from __future__ import annotations

import asyncio
import io
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from webhook.admission import review
from webhook.admission.review import AdmissionRequest, AdmissionResponse
from webhook.certificates import ServingIdentity
from webhook.ports import Condition
from webhook.serving.callers import CallerFiles, Callers
from webhook.serving.http_server import Health, HttpServer
from webhook.serving.metrics import Metrics

REVIEW = json.dumps(
    {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "u-1",
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "operation": "CREATE",
            "userInfo": {"username": "alice"},
        },
    }
).encode()
ALLOWED = b'{"response":{"uid":"u-1","allowed":true},"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}'

Answer = Callable[[AdmissionRequest, float], Awaitable[AdmissionResponse]]


async def allow(request: AdmissionRequest, _: float) -> AdmissionResponse:
    return review.allowed(request.uid)


def condition(message: str) -> Condition:
    return Condition(ok=not message, message=message)


@dataclass
class Stage:
    """The server and its client; `start` begins to listen."""

    identity: ServingIdentity
    files: CallerFiles = field(default_factory=CallerFiles)
    answer: Answer = allow
    failures: dict[str, str] = field(default_factory=dict)
    warnings: dict[str, str] = field(default_factory=dict)
    gauges: Callable[[], dict[str, float]] = lambda: {"pods_known": 7}

    def __post_init__(self) -> None:
        self.health = Health(
            {
                "pods": lambda: condition(self.failures.get("pods", "")),
                "policy": lambda: condition(self.failures.get("policy", "")),
            },
            warnings={"ledger": lambda: condition(self.warnings.get("ledger", ""))},
        )
        self.metrics = Metrics(self._gauges)
        self.callers = Callers(self.files, self.identity.clients, poll_seconds=0.05)
        answers = {"/validate": self._answer, "/mutate": allow, "/advise": self._answer}
        self.server = HttpServer(answers, self.health, self.metrics, self.callers)

    def _gauges(self) -> dict[str, float]:
        return self.gauges()

    async def _answer(self, request: AdmissionRequest, deadline: float) -> AdmissionResponse:
        return await self.answer(request, deadline)

    async def start(self) -> None:
        self.port = await self.server.start("127.0.0.1", 0, self.identity.context)
        self.tls = ssl.create_default_context(cadata=self.identity.ca_bundle.decode())
        connector = aiohttp.TCPConnector(ssl=self.tls)
        self.client = aiohttp.ClientSession(f"https://127.0.0.1:{self.port}", connector=connector)

    async def stop(self) -> None:
        await self.client.close()
        await self.server.drain(0)

    async def post(self, body: bytes = REVIEW, path: str = "/validate", **headers: str) -> Reply:
        async with self.client.post(path, data=io.BytesIO(body), headers=headers) as response:
            return await Reply.of(response)

    async def get(self, path: str, method: str = "GET") -> Reply:
        async with self.client.request(method, path) as response:
            return await Reply.of(response)

    async def shown(self, path: str) -> tuple[int, str]:
        reply = await self.get(path)
        return reply.status, reply.body.decode()

    async def errors(self, reason: str) -> float:
        """How many errors of that reason were counted."""
        head = f'userquota_errors_total{{reason="{reason}"}} '
        lines = (await self.get("/metrics")).body.decode().splitlines()
        return next((float(line.removeprefix(head)) for line in lines if line.startswith(head)), 0.0)

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection for tests that write the bytes of their requests themselves."""
        return await asyncio.open_connection("127.0.0.1", self.port, ssl=self.tls, server_hostname="127.0.0.1")

    def request(self, body: bytes = REVIEW, *, length: int | None = None) -> bytes:
        """The bytes of a request; *length* is what it promises, if that is not the truth."""
        promised = len(body) if length is None else length
        head = f"POST /validate?timeout=1s HTTP/1.1\r\nHost: h\r\nContent-Length: {promised}\r\n"
        return f"{head}\r\n".encode() + body


@dataclass(frozen=True)
class Reply:
    status: int
    body: bytes
    headers: Mapping[str, str]

    @classmethod
    async def of(cls, response: aiohttp.ClientResponse) -> Reply:
        headers = {key.lower(): value for key, value in response.headers.items()}
        return cls(response.status, await response.read(), headers)

    @property
    def reason(self) -> str:
        """What the API server passes on of an answer that is an error."""
        status = json.loads(self.body)
        assert self.headers["content-type"] == "application/json"
        assert (status["kind"], status["apiVersion"], status["code"]) == ("Status", "v1", self.status)
        return str(status["message"])

    @property
    def review(self) -> dict[str, Any]:
        answered: dict[str, Any] = json.loads(self.body)["response"]
        return answered


@asynccontextmanager
async def started(stage: Stage) -> AsyncIterator[Stage]:
    await stage.start()
    try:
        yield stage
    finally:
        await stage.stop()


async def read_reply(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Read one reply: its head, its body."""
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
    length = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
    return head, await reader.readexactly(int(length.partition(b":")[2]))
