"""
Takes commitments over from another system again and again, for `userquota commitments sync --every`.

What is left out, and that the source fails, is told once in the log and in an Event, until it is otherwise.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import structlog

from webhook.documents.commitment_text import ListedCommitments
from webhook.kube.api import ActingAs
from webhook.kube.events import EventWriter
from webhook.ports import Sleep, WebhookError
from webhook.wiring.application import SystemClock
from webhook.wiring.commitment_editor import CommitmentEditor, editing_api
from webhook.wiring.commitment_events import MOST_TOLD, CommitmentEvents, Told
from webhook.wiring.commitment_source import TakenOver, take_over

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class CommitmentFollower:
    """
    Makes commitments as they are listed by what `read` returns, or raises a WebhookError. Belongs to one event loop.
    """

    read: Callable[[], Awaitable[ListedCommitments]]
    editor: CommitmentEditor
    events: CommitmentEvents
    sleep: Sleep = asyncio.sleep
    _failures: Told = field(default_factory=Told)
    _left_out: Told = field(default_factory=Told)
    _missing: tuple[str, ...] = ()

    async def run(self, seconds: float) -> NoReturn:
        """Take over forever, *seconds* after the last time."""
        while True:
            await self.once()
            await self.sleep(seconds)

    async def once(self) -> bool:
        """Take over what is listed now; return whether that was possible. What fails changes and releases nothing."""
        try:
            found = await take_over(self.editor, await self.read())
        except WebhookError as error:
            await self._tell_failure(" ".join(str(error).splitlines()))
            return False
        self._failures.clear()
        self._log(found)
        await self._tell_left_out(found.left_out)
        return True

    def _log(self, found: TakenOver) -> None:
        for what, each, state in found.edited.changes:
            log.info("commitment taken over", what=what.value, name=each.name, holder=each.holder, state=state.value)
        for warning in found.edited.warnings:
            log.warning("the API server warns", warning=warning)
        if found.missing != self._missing:
            self._missing = found.missing
            log.info("kept, although they are not listed any more", number=len(found.missing), names=found.missing[:5])
        numbers = {"changed": len(found.edited.changes), "left_out": len(found.left_out)}
        log.info("commitments taken over", **numbers, missing=len(found.missing))

    async def _tell_failure(self, why: str) -> None:
        log.warning("commitments were not taken over: nothing was changed", why=why)
        due = self._failures.due({"source": f"{why}: no commitment is changed or released"})
        await self.events.tell("CommitmentSourceFailed", due, self._failures)

    async def _tell_left_out(self, left_out: Mapping[str, str]) -> None:
        """Tell of what was not told yet; what cannot be told is told in the next round."""
        messages = {name: f"commitment {name} is left out: {why}" for name, why in left_out.items()}
        due = self._left_out.due(messages)[:MOST_TOLD]
        for name, _ in due:
            log.warning("a commitment is left out", name=name, why=left_out[name])
        await self.events.tell("CommitmentLeftOut", due, self._left_out)


@asynccontextmanager
async def connected_follower(
    kubeconfig: Path | None,
    context: str | None,
    acting_as: ActingAs | None,
    *,
    namespace: str,
    read: Callable[[], Awaitable[ListedCommitments]],
) -> AsyncIterator[CommitmentFollower]:
    """Connect to a cluster where userquota is installed in *namespace*. Raises: KubeconfigError."""
    async with editing_api(kubeconfig, context, acting_as, namespace=namespace) as (editor, api):
        writer = EventWriter(api, namespace=namespace, clock=SystemClock())
        yield CommitmentFollower(read, editor, CommitmentEvents(editor.maps, writer.tell_once))
