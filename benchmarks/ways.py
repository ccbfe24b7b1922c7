"""
`python -m benchmarks.ways`: what the ways to serve a review cost, with a decision that allows all.

Each way is a process of its own on uvloop, and all take turns. httptools, like uvloop, comes with the extra `fast`:
without it that way is left out, and userquota serves by aiohttp alone.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import importlib
import ssl
import sys
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import cast

import uvloop
from aiohttp import web

from benchmarks import build, certificate, wire
from benchmarks.contestants import started
from webhook.admission import review
from webhook.admission.review import AdmissionRequest, AdmissionResponse
from webhook.serving.callers import CallerFiles, Callers
from webhook.serving.http_server import Health, HttpServer

_HOST, _PATH = "127.0.0.1", "/validate"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ways", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="of all ways (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=1.5, help="of one load on one way (default: %(default)s)")
    parser.add_argument("--serve", nargs=3, metavar=("WAY", "FOLDER", "PORT"), help="serve in one way, for the others")
    asked = parser.parse_args()
    if asked.serve is not None:
        way, folder, port = asked.serve
        uvloop.run(_serve(way, Path(folder), int(port)))
        return
    found = _measured(asked.rounds, asked.seconds)
    for way, several in found.items():
        print(f"{way:12} {median(several):6.1f} us ({min(several):.1f} to {max(several):.1f})")


def _measured(rounds: int, seconds: float) -> dict[str, list[float]]:
    """Return the CPU time of a review in each way, in microseconds, round by round."""
    programs = build.programs(report=lambda line: print(line, file=sys.stderr))
    ways = [way for way in _WAYS if way != "httptools" or find_spec("httptools") is not None]
    with tempfile.TemporaryDirectory(prefix="userquota-ways-") as name, ExitStack() as stack:
        folder = Path(name)
        certificate.write(folder, now=dt.datetime.now(dt.UTC))  # noqa: TID251 - a certificate has dates
        load = wire.Load(programs / "load", folder)
        load.write_templates(("m",))
        servers = {way: stack.enter_context(started(way, _command(way, folder), folder)) for way in ways}
        found: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(rounds):
            for way, server in servers.items():
                told = load.run(wire.Run(way, _PATH, "m", wire.SATURATED), server, seconds=seconds)
                found[way].append(told["cpu_us"])
        return found


def _command(way: str, folder: Path) -> Callable[[int], list[str]]:
    return lambda port: [sys.executable, "-m", "benchmarks.ways", "--serve", way, str(folder), str(port)]


async def _serve(way: str, folder: Path, port: int) -> None:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    await _WAYS[way](port, tls)
    await asyncio.Event().wait()


def _answered(body: bytes) -> bytes:
    return review.encode(review.allowed(review.decode(body).uid))


async def _respond(request: web.BaseRequest) -> web.Response:
    return web.Response(body=_answered(await request.read()), content_type="application/json")


async def _application(port: int, tls: ssl.SSLContext) -> None:
    app = web.Application()
    app.router.add_post(_PATH, _respond)
    runner = web.AppRunner(app, access_log=None, auto_decompress=False)
    await runner.setup()
    await web.TCPSite(runner, _HOST, port, ssl_context=tls).start()


async def _low_level(port: int, tls: ssl.SSLContext) -> None:
    runner = web.ServerRunner(web.Server(_respond, access_log=None, auto_decompress=False))
    await runner.setup()
    await web.TCPSite(runner, _HOST, port, ssl_context=tls).start()


class _NoClients:
    """Port `ClientVerifier`: no certificate of a client is asked for."""

    def trust_clients(self, client_ca: bytes) -> None:
        """Do nothing."""

    def has_verified(self, connection: ssl.SSLObject) -> bool:  # noqa: ARG002
        """Return False."""
        return False


class _Uncounted:
    """Port `Meter`: counts nothing."""

    def answered(self, path: str, verdict: str, seconds: float) -> None:
        """Do nothing."""

    def count_error(self, reason: str) -> None:
        """Do nothing."""

    def render(self) -> bytes:
        """Return nothing."""
        return b""


async def _userquota(port: int, tls: ssl.SSLContext) -> None:
    async def allow(request: AdmissionRequest, _: float) -> AdmissionResponse:
        return review.allowed(request.uid)

    callers = Callers(CallerFiles(), _NoClients())
    await HttpServer({_PATH: allow}, Health({}), _Uncounted(), callers).start(_HOST, port, tls)


async def _httptools(port: int, tls: ssl.SSLContext) -> None:
    parser = importlib.import_module("httptools").HttpRequestParser

    class Protocol(asyncio.Protocol):
        """Answers reviews, and looks at nothing else: no path, no header, no bound on anything."""

        def __init__(self) -> None:
            self._parser = parser(self)
            self._body: list[bytes] = []

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self._transport = cast("asyncio.Transport", transport)  # that of uvloop is none by its class

        def data_received(self, data: bytes) -> None:
            self._parser.feed_data(data)

        def on_body(self, part: bytes) -> None:
            self._body.append(part)

        def on_message_complete(self) -> None:
            answer = _answered(b"".join(self._body))
            self._body.clear()
            head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(answer)}\r\n\r\n"
            self._transport.write(head.encode() + answer)

    await asyncio.get_running_loop().create_server(Protocol, _HOST, port, ssl=tls)


_WAYS: dict[str, Callable[[int, ssl.SSLContext], Awaitable[None]]] = {
    "userquota": _userquota,
    "application": _application,
    "low-level": _low_level,
    "httptools": _httptools,
}


if __name__ == "__main__":
    main()
