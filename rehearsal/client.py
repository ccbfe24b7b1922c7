"""
Requests to the API servers, in turn, as anybody: the admin acts as them.

No request is repeated: what failed is in the audit log.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import ssl
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any, NamedTuple, Self

import aiohttp

from localcluster.users import PEOPLE_GROUP
from rehearsal.manifests import Document, Kind

MERGE, STRATEGIC, APPLY = (
    f"application/{each}" for each in ("merge-patch+json", "strategic-merge-patch+json", "apply-patch+yaml")
)
_TIMEOUT = aiohttp.ClientTimeout(total=40)
_BACKGROUND = "?propagationPolicy=Background"
"""Of a Job the API server orphans the pods otherwise."""


class Actor(NamedTuple):
    """Somebody who asks."""

    name: str
    groups: tuple[str, ...]


ADMIN = Actor("", ())
"""The one who acts as others, as themselves."""


def person(name: str) -> Actor:
    return Actor(name, (PEOPLE_GROUP,))


def account(namespace: str, name: str) -> Actor:
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
    return Actor(f"system:serviceaccount:{namespace}:{name}", groups)


class Answer(NamedTuple):
    """The status, 0 if there was no answer, the document, and the warnings."""

    status: int
    document: Any
    warnings: tuple[str, ...] = ()

    @property
    def is_done(self) -> bool:
        return 200 <= self.status < 300


class Client:
    """Connections to the API servers at *urls*; a context manager."""

    def __init__(self, urls: Sequence[str], *, tls: ssl.SSLContext, token: str) -> None:
        self._urls = itertools.cycle(urls)
        self._tls = tls
        self._token = token
        self._session: aiohttp.ClientSession | None = None
        self.asked = 0

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(ssl=self._tls, limit=0)
        self._session = aiohttp.ClientSession(connector=connector, timeout=_TIMEOUT)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._session is not None
        await self._session.close()

    async def ask(
        self, method: str, path: str, body: object = None, *, by: Actor = ADMIN, content: str = "application/json"
    ) -> Answer:
        """Send one request."""
        assert self._session is not None
        headers = [("Authorization", f"Bearer {self._token}"), ("Content-Type", content)]
        if by.name:
            headers += [("Impersonate-User", by.name), *(("Impersonate-Group", each) for each in by.groups)]
        self.asked += 1
        data = None if body is None else json.dumps(body)
        try:
            async with self._session.request(method, f"{next(self._urls)}{path}", data=data, headers=headers) as answer:
                text = await answer.text()
                warnings = tuple(answer.headers.getall("Warning", ()))
                return Answer(answer.status, json.loads(text) if text.startswith("{") else text, warnings)
        except (aiohttp.ClientError, TimeoutError) as error:
            return Answer(0, str(error))

    async def create(self, kind: Kind, namespace: str, document: Document, *, by: Actor = ADMIN) -> Answer:
        return await self.ask("POST", kind.path(namespace), document, by=by)

    async def delete(self, kind: Kind, namespace: str, name: str, *, by: Actor = ADMIN) -> Answer:
        return await self.ask("DELETE", f"{kind.path(namespace, name)}{_BACKGROUND}", by=by)

    async def change(self, path: str, body: object, *, by: Actor = ADMIN, content: str = MERGE) -> Answer:
        """Patch an object, or a part of one."""
        return await self.ask("PATCH", path, body, by=by, content=content)

    async def objects(self, kind: Kind, namespace: str = "") -> list[Document]:
        """
        Return all objects of a kind, in one namespace or in all.

        Raises: RuntimeError if they cannot be listed.
        """
        answer = await self.ask("GET", kind.path(namespace))
        if not answer.is_done:
            raise RuntimeError(f"{kind.plural} cannot be listed: {answer.document}")
        items: list[Document] = answer.document["items"]
        return items

    async def version(self) -> int:
        """Return the newest resource version."""
        answer = await self.ask("GET", "/api/v1/namespaces?limit=1")
        return int(answer.document["metadata"]["resourceVersion"])

    async def create_all(self, asked: Iterable[tuple[Kind, str, Document, Actor]], *, at_once: int = 8) -> None:
        """
        Create many objects.

        Raises: RuntimeError if one is refused.
        """
        gate = asyncio.Semaphore(at_once)

        async def create(kind: Kind, namespace: str, document: Document, by: Actor) -> None:
            async with gate:
                answer = await self.create(kind, namespace, document, by=by)
            if not answer.is_done:
                raise RuntimeError(f"{kind.name} {document['metadata']['name']}: {answer.document}")

        await asyncio.gather(*(create(*each) for each in asked))
