"""
Requests of users and of the admin to the API servers over plain HTTP, and their responses.

Many requests may run concurrently; none is retried, so that a test sees every response.
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import aiohttp

from localcluster.controlplane import ControlPlane
from tests.cluster.creating import one_container

NO_ANSWER = 0
"""The status of an interrupted request, which may have been executed."""

_SECONDS = 30.0
_TRIES = 10
_AGAIN_AFTER = 1.0
"""Seconds: whoever asks again at once keeps a busy machine busy."""

_TOO_LATE = (
    "context deadline exceeded",
    "no answer in time",
    "no answer within",
    "the deadline passed",
    "too many requests wait",
    "more reviews arrive",
    "try again in a moment",
)


@dataclass(frozen=True, slots=True)
class Made:
    """Objects of one kind, all of the same *spec*. *group* is the beginning of the path, up to the version."""

    group: str
    resource: str
    kind: str
    spec: Mapping[str, object]

    def path(self, place: str) -> str:
        return f"/{self.group}/namespaces/{place}/{self.resource}"

    @property
    def api_version(self) -> str:
        return self.group.partition("/")[2]


PODS = Made("api/v1", "pods", "Pod", one_container())
"""The smallest ones."""

CLAIMS = Made(
    "api/v1",
    "persistentvolumeclaims",
    "PersistentVolumeClaim",
    {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "",
        "resources": {"requests": {"storage": "1Gi"}},
    },
)
RESOURCE_CLAIMS = Made(
    "apis/resource.k8s.io/v1",
    "resourceclaims",
    "ResourceClaim",
    {"devices": {"requests": [{"name": "one", "exactly": {"deviceClassName": "gpu.nvidia.com"}}]}},
)


@dataclass(frozen=True, slots=True)
class Answer:
    """One response; the times are on the monotonic clock."""

    status: int
    text: str
    asked: float
    came: float
    warnings: tuple[str, ...] = ()
    """The texts of Warning headers."""

    @property
    def message(self) -> str:
        """The message of a denial."""
        return str(json.loads(self.text)["message"]) if self.text.startswith("{") else self.text

    @property
    def uid(self) -> str:
        """Of the object that was answered."""
        return str(json.loads(self.text)["metadata"]["uid"])

    @property
    def name(self) -> str:
        """Of the object that was answered."""
        return str(json.loads(self.text)["metadata"]["name"])


class Asking:
    """Connections to every API server of *cluster*; a context manager."""

    def __init__(self, cluster: ControlPlane) -> None:
        self._cluster = cluster
        self._turn = 0
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        tls = ssl.create_default_context(cafile=str(self._cluster.access.ca_file))
        connector = aiohttp.TCPConnector(ssl=tls, limit=0)
        self._session = aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=_SECONDS))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._session is not None
        await self._session.close()

    async def ask(
        self,
        method: str,
        path: str,
        *,
        user: str = "admin",
        body: object = None,
        server: int = 0,
        content_type: str = "application/json",
        acting_as: str = "",
        in_groups: Iterable[str] = (),
    ) -> Answer:
        """
        Send a request to API server number *server*, counted from 1; 0 uses each in turn.

        *acting_as* is the user whom *user* acts as, *in_groups* the groups of that one.
        """
        assert self._session is not None
        urls = self._cluster.server_urls
        if not server:
            self._turn = server = self._turn % len(urls) + 1
        url = urls[server - 1]
        headers = [("Authorization", f"Bearer {self._cluster.access.token(user)}"), ("Content-Type", content_type)]
        headers += [("Impersonate-User", acting_as)] if acting_as else []
        headers += [("Impersonate-Group", each) for each in in_groups]
        asked = time.monotonic()
        try:
            async with self._session.request(method, f"{url}{path}", json=body, headers=headers) as answer:
                text = await answer.text()
                warned = answer.headers.getall("Warning", [])
                return Answer(answer.status, text, asked, time.monotonic(), tuple(map(_warning, warned)))
        except (aiohttp.ClientError, TimeoutError) as error:
            return Answer(NO_ANSWER, str(error), asked, time.monotonic())

    async def create(
        self,
        place: str,
        name: str,
        *,
        user: str,
        of: Made,
        dry_run: bool = False,
        generate: bool = False,
        server: int = 0,
    ) -> Answer:
        """Create an object; with *generate* the API server completes the name."""
        metadata = {"generateName" if generate else "name": name}
        body = {"apiVersion": of.api_version, "kind": of.kind, "metadata": metadata, "spec": of.spec}
        path = f"{of.path(place)}{'?dryRun=All' if dry_run else ''}"
        return await self.ask("POST", path, user=user, body=body, server=server)

    async def create_all(
        self, place: str, names: Iterable[str], *, user: str, of: Made, dry_run: bool = False, at_once: int = 100
    ) -> list[Answer]:
        """Create objects of all *names*, *at_once* of them concurrently."""
        return await _each(
            names, lambda name: self.create(place, name, user=user, of=of, dry_run=dry_run), at_once=at_once
        )

    async def create_decided(
        self, place: str, names: Iterable[str], *, user: str, of: Made = PODS, dry_run: bool = False, at_once: int = 100
    ) -> list[Answer]:
        """Create objects of all *names* as `create_all` does, and ask again for what nobody decided in time."""

        def create(name: str) -> Awaitable[Answer]:
            return decided(lambda: self.create(place, name, user=user, of=of, dry_run=dry_run))

        return await _each(names, create, at_once=at_once)

    async def create_pod(
        self, place: str, name: str, *, user: str, dry_run: bool = False, generate: bool = False, server: int = 0
    ) -> Answer:
        """Create the smallest pod; with *generate* the API server completes the name."""
        return await self.create(place, name, user=user, of=PODS, dry_run=dry_run, generate=generate, server=server)

    async def create_pods(
        self, place: str, names: Iterable[str], *, user: str, dry_run: bool = False, at_once: int = 100
    ) -> list[Answer]:
        """Create pods of all *names*, *at_once* of them concurrently."""
        return await self.create_all(place, names, user=user, of=PODS, dry_run=dry_run, at_once=at_once)

    async def delete_pod(self, place: str, name: str, *, user: str = "admin", server: int = 0) -> Answer:
        return await self.ask("DELETE", f"{pods_of(place)}/{name}", user=user, server=server)

    async def delete_all_pods(self, place: str) -> None:
        answer = await self.ask("DELETE", f"{pods_of(place)}?gracePeriodSeconds=0")
        assert answer.status == 200, answer.text

    async def pods(self, place: str, *, server: int = 0) -> dict[str, str]:
        """Return uid by name of the stored pods. A list without a resource version is a quorum read of etcd."""
        answer = await self.ask("GET", pods_of(place), server=server)
        assert answer.status == 200, answer.text
        return {each["metadata"]["name"]: each["metadata"]["uid"] for each in json.loads(answer.text)["items"]}


async def decided(ask: Callable[[], Awaitable[Answer]]) -> Answer:
    """
    Return the answer to a request, which is asked again where nobody decided it in time.

    A machine that is too busy may leave some to an error, which is neither a verdict nor stored.
    """
    for _ in range(_TRIES - 1):
        answer = await ask()
        if not (answer.status == 500 and any(words in answer.message for words in _TOO_LATE)):
            return answer
        await asyncio.sleep(_AGAIN_AFTER)
    return await ask()


async def _each(names: Iterable[str], create: Callable[[str], Awaitable[Answer]], *, at_once: int) -> list[Answer]:
    gate = asyncio.Semaphore(at_once)

    async def created(name: str) -> Answer:
        async with gate:
            return await create(name)

    return await asyncio.gather(*map(created, names))


def _warning(header: str) -> str:
    """Return the text of a Warning header, which stands in quotes behind a code and an agent."""
    return re.sub(r"\\(.)", r"\1", header.partition('"')[2].rpartition('"')[0])


def pods_of(place: str) -> str:
    return PODS.path(place)


def statuses(answers: Iterable[Answer]) -> Counter[int]:
    return Counter(each.status for each in answers)


def numbered(beginning: str, count: int) -> list[str]:
    return [f"{beginning}-{number}" for number in range(count)]
