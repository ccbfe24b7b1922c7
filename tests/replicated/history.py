"""Every version of the objects of a namespace, from a watch: the number of charged ones at each revision."""

from __future__ import annotations

import asyncio
import json
import ssl
from types import TracebackType
from typing import Any, Self

import aiohttp

from localcluster.controlplane import ControlPlane
from tests.cluster.running import PATIENCE
from tests.replicated.asking import PODS, Made

_LINE = 2**20


class History:
    """Watches the objects of *place* at one API server from the first one; a context manager."""

    def __init__(self, cluster: ControlPlane, place: str, *, of: Made = PODS, server: int = 1) -> None:
        self._url = f"{cluster.server_urls[server - 1]}{of.path(place)}?watch=1&resourceVersion="
        self._version = "0"
        self._headers = {"Authorization": f"Bearer {cluster.access.token('admin')}"}
        self._tls = ssl.create_default_context(cafile=str(cluster.access.ca_file))
        self._now: set[str] = set()
        self._news = asyncio.Event()
        self._following: asyncio.Task[None] | None = None
        self.most = 0
        """The largest number at any revision, without those that ResourceQuota and userquota have released."""
        self.stored: set[str] = set()
        """The uids of all that ever existed."""
        self.deleted: set[str] = set()

    async def __aenter__(self) -> Self:
        begun = asyncio.Event()
        self._following = asyncio.create_task(self._follow(begun))
        self._following.add_done_callback(lambda _: self._news.set())
        await begun.wait()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._following is not None
        assert kind is not None or not self._following.done(), "the watch ended early"
        self._following.cancel()
        await asyncio.gather(self._following, return_exceptions=True)

    async def shows(self, uids: set[str], *, within: float = PATIENCE) -> bool:
        """Return whether all of these existed, after waiting for the watch to show them."""
        assert self._following is not None
        async with asyncio.timeout(within):
            while not uids <= self.stored:
                assert not self._following.done(), "the watch ended early"
                self._news.clear()
                await self._news.wait()
        return True

    async def _follow(self, begun: asyncio.Event) -> None:
        connector = aiohttp.TCPConnector(ssl=self._tls)
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(
            connector=connector, headers=self._headers, timeout=timeout, read_bufsize=_LINE
        ) as session:
            # An API server ends the watch of a client that takes events too slowly, as this one beside 500 creates.
            while True:
                async with session.get(self._url + self._version) as answer:
                    assert answer.status == 200, await answer.text()
                    begun.set()
                    async for line in answer.content:
                        self._record(json.loads(line))

    def _record(self, event: dict[str, Any]) -> None:
        self._news.set()
        assert event["type"] != "ERROR", event
        meta = event["object"]["metadata"]
        self._version = meta["resourceVersion"]
        uid = meta["uid"]
        if event["type"] == "DELETED":
            self._now.discard(uid)
            self.deleted.add(uid)
            return
        self.stored.add(uid)
        if "deletionTimestamp" in meta and meta["deletionGracePeriodSeconds"] == 0:
            self._now.discard(uid)  # released: its deletion has begun, without a grace period
        else:
            self._now.add(uid)
        self.most = max(self.most, len(self._now))
