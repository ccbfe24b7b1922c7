"""
Sends the requests of the workload to the API servers, as the users concerned, and records each answer.

The workload decides what to request, the judge whether the answer was right.
"""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import aiohttp

from nemesis.api import collection
from nemesis.records import PODS, Request, Writer

JSON = "application/json"
MERGE = "application/strategic-merge-patch+json"
PLAIN_MERGE = "application/merge-patch+json"
"""For kinds of a CustomResourceDefinition, of which the API server does not know how to merge lists."""

_SECONDS = 15.0
"""The API server waits 5 s for a webhook, twice at most; a longer wait changes nothing."""

_NAME = re.compile(rb'"metadata":\{"name":"([^"]+)"')


@dataclass(frozen=True, slots=True)
class Wish:
    """
    One request. `path` is below the objects of the kind in the namespace; `cpu` and `asked` are for the record.

    `asked` is all that the object would cost. `acts_as` is who the user impersonates, `session` that of which it makes
    the pod. `place` is the class of nodes that a pod names, and its zone.
    """

    verb: str
    user: str
    namespace: str
    name: str
    method: str
    path: str
    body: str = ""
    content_type: str = JSON
    cpu: str = ""
    is_dry_run: bool = False
    kind: str = PODS
    asked: Mapping[str, str] = field(default_factory=dict)
    acts_as: str = ""
    session: str = ""
    place: str = ""


class Clients:
    """The clients of all users. Use it as a context manager."""

    def __init__(
        self,
        urls: Sequence[str],
        tokens: Mapping[str, str],
        *,
        tls: ssl.SSLContext,
        clock: Callable[[], float],
        record: Writer,
    ) -> None:
        self._urls = urls
        self._tokens = tokens
        self._tls = tls
        self._clock = clock
        self._record = record
        self._session: aiohttp.ClientSession | None = None
        self.under_way = [0 for _ in urls]
        self.asked = 0

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(ssl=self._tls, limit=0)
        self._session = aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=_SECONDS))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def ask(self, wish: Wish, server: int) -> Request:
        """Send a request; return the record of its result, which is written by then."""
        begun = self._clock()
        self.under_way[server] += 1
        self.asked += 1
        try:
            status, body = await self._send(wish, server)
        except TimeoutError:
            status, body = 0, b'{"reason": "Timeout"}'
        except (aiohttp.ClientError, OSError) as error:
            status, body = 0, json.dumps({"reason": type(error).__name__}).encode()
        finally:
            self.under_way[server] -= 1
        told = _recorded(wish, server, (begun, self._clock()), status, body)
        self._record.write(told)
        return told

    async def _send(self, wish: Wish, server: int) -> tuple[int, bytes]:
        assert self._session is not None
        url = f"{self._urls[server]}{collection(wish.kind, wish.namespace)}{wish.path}"
        headers = {"Authorization": f"Bearer {self._tokens[wish.user]}", "Content-Type": wish.content_type}
        if wish.acts_as:
            headers["Impersonate-User"] = wish.acts_as
        async with self._session.request(wish.method, url, data=wish.body or None, headers=headers) as answer:
            return answer.status, await answer.read()


def _recorded(wish: Wish, server: int, times: tuple[float, float], status: int, body: bytes) -> Request:
    name, reason, message = wish.name, "", ""
    if 200 <= status < 300:
        if not name and (found := _NAME.search(body)):
            name = found[1].decode()
    else:
        reason, message = _trouble(body)
    return Request(
        wish.verb,
        wish.user,
        wish.namespace,
        name,
        round(times[0], 4),
        round(times[1], 4),
        server,
        status,
        wish.cpu,
        wish.is_dry_run,
        reason,
        message,
        wish.kind,
        dict(wish.asked),
        wish.session,
        wish.place,
    )


def _trouble(body: bytes) -> tuple[str, str]:
    try:
        said = json.loads(body)
        return str(said.get("reason", "")), str(said.get("message", ""))
    except (ValueError, AttributeError):
        return "", body[:400].decode(errors="replace")
