"""
Serves the queue of commitments again and again, for `userquota commitments confirm --waiting --every`.

Why the first of each pool waits is told once in the log, until it is otherwise; that the queue is not served, in an
Event as well. Of what begins with its confirmation replicas tell in an Event, when they read the edit: `quota.notices`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import structlog

from webhook.kube.api import ActingAs
from webhook.kube.events import EventWriter
from webhook.ports import Sleep, WebhookError
from webhook.quota.commitments import Pool
from webhook.wiring.application import SystemClock
from webhook.wiring.commitment_editor import CommitmentEditor, Edited, Waiting, editing_api
from webhook.wiring.commitment_events import MOST_TOLD, CommitmentEvents, Told

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class CommitmentQueue:
    """Confirms those that wait once there is room for them, see `CommitmentEditor.serve`. Belongs to one event loop."""

    editor: CommitmentEditor
    events: CommitmentEvents
    sleep: Sleep = asyncio.sleep
    _failures: Told = field(default_factory=Told)
    _first: Told = field(default_factory=Told)
    _later: dict[str, str] = field(default_factory=dict)

    async def run(self, seconds: float) -> NoReturn:
        """Serve forever, *seconds* after the last time."""
        while True:
            await self.once()
            await self.sleep(seconds)

    async def once(self) -> bool:
        """Confirm those for whom there is room now; return whether that was possible. What fails ends nothing."""
        try:
            served = await self.editor.serve()
        except WebhookError as error:
            await self._tell_failure(" ".join(str(error).splitlines()))
            return False
        self._failures.clear()
        self._log_confirmed(served.confirmed)
        self._log_first(served.waiting)
        await self._tell_later(served.confirmed)
        log.info("queue served", confirmed=len(served.confirmed.changes), waiting=len(served.waiting))
        return True

    def _log_confirmed(self, confirmed: Edited) -> None:
        for _, each, state in confirmed.changes:
            log.info("commitment confirmed", name=each.name, holder=each.holder, state=state.value)
        for warning in confirmed.warnings:
            log.warning("the API server warns", warning=warning)

    def _log_first(self, waiting: Sequence[Waiting]) -> None:
        """Log why the first of each pool waits, if that was not told yet. The others wait for the first."""
        first: dict[Pool, Waiting] = {}
        for each in waiting:
            first.setdefault(each.commitment.pool, each)
        found = {each.commitment.name: each for each in first.values()}
        for name, why in self._first.due({name: each.why for name, each in found.items()}):
            one = found[name].commitment
            log.info("the first of a pool waits", name=name, holder=one.holder, pool=str(one.pool), why=why)
            self._first.add(name, why)

    async def _tell_later(self, confirmed: Edited) -> None:
        """Tell of what is confirmed and begins later; what cannot be told is told in the next round."""
        now = self.editor.clock()
        for _, each, _ in confirmed.changes:
            if each.begins is not None and each.begins > now:
                self._later[each.name] = f"commitment {each.name} is confirmed, and begins later: {each}"
        told = Told()
        await self.events.tell("CommitmentConfirmed", list(self._later.items())[:MOST_TOLD], told, is_warning=False)
        self._later = dict(told.due(self._later))

    async def _tell_failure(self, why: str) -> None:
        log.warning("the queue was not served", why=why)
        due = self._failures.due({"queue": f"the queue of commitments is not served: {why}"})
        await self.events.tell("CommitmentQueueFailed", due, self._failures)


@asynccontextmanager
async def connected_queue(
    kubeconfig: Path | None, context: str | None, acting_as: ActingAs | None, *, namespace: str
) -> AsyncIterator[CommitmentQueue]:
    """Connect to a cluster where userquota is installed in *namespace*. Raises: KubeconfigError."""
    async with editing_api(kubeconfig, context, acting_as, namespace=namespace) as (editor, api):
        writer = EventWriter(api, namespace=namespace, clock=SystemClock())
        yield CommitmentQueue(editor, CommitmentEvents(editor.maps, writer.tell_once))
