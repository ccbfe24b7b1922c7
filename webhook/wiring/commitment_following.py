"""
Takes commitments over from another system again and again, for `userquota commitments sync --every`.

What is left out, and that the source fails, is told once in the log and in an Event, until it is otherwise.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NoReturn

import structlog

from webhook.documents.commitment_text import ListedCommitments
from webhook.kube.api import ActingAs, ApiError
from webhook.kube.events import ConfigMapEvent, EventWriter
from webhook.kube.kept_policy import NAME
from webhook.ports import Sleep, WebhookError
from webhook.wiring.application import SystemClock
from webhook.wiring.commitment_editor import CommitmentEditor, editing_api
from webhook.wiring.commitment_source import TakenOver, take_over

log = structlog.get_logger(__name__)

MOST_TOLD: Final = 10
"""Entries that are told of in one round; the others follow in the next ones."""

_NUMBER: Final = re.compile(r"[0-9]+", re.ASCII)


@dataclass(slots=True)
class CommitmentFollower:
    """
    Makes commitments as they are listed by what `read` returns, or raises a WebhookError. `tell` stores an Event, see
    `EventWriter.tell_once`. Belongs to one event loop.
    """

    read: Callable[[], Awaitable[ListedCommitments]]
    editor: CommitmentEditor
    tell: Callable[[ConfigMapEvent, str], Awaitable[bool]]
    sleep: Sleep = asyncio.sleep
    _failed: str = ""
    _told: dict[str, str] = field(default_factory=dict)
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
        self._failed = ""
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
        if self._failed != _gist(why):
            message = f"{why}: no commitment is changed or released"
            if await self._is_told(await self._uid(), "CommitmentSourceFailed", message, _gist(why)):
                self._failed = _gist(why)

    async def _tell_left_out(self, left_out: Mapping[str, str]) -> None:
        """Tell of what was not told yet; what cannot be told is told in the next round."""
        self._told = {name: why for name, why in self._told.items() if name in left_out}
        due = [(name, why) for name, why in sorted(left_out.items()) if self._told.get(name) != _gist(why)]
        uid = await self._uid() if due else ""
        for name, why in due[:MOST_TOLD]:
            log.warning("a commitment is left out", name=name, why=why)
            message = f"commitment {name} is left out: {why}"
            if await self._is_told(uid, "CommitmentLeftOut", message, f"{name}/{_gist(why)}"):
                self._told[name] = _gist(why)

    async def _is_told(self, uid: str, reason: str, message: str, identity: str) -> bool:
        """Store an Event, if there is something to attach it to; return whether it is stored, be it by another run."""
        if not uid:
            return False
        try:
            await self.tell(ConfigMapEvent(NAME, uid, reason, message), f"{reason}/{identity}")
        except ApiError as error:
            log.warning("event could not be written yet", reason=reason, why=str(error))
            return False
        return True

    async def _uid(self) -> str:
        """Return the uid of the ConfigMap of commitments, on which Events are; empty if there is none, or no answer."""
        try:
            maps = await self.editor.maps()
        except WebhookError:
            return ""
        return next((each.metadata.uid for each in maps if each.metadata.name == NAME), "")


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
        events = EventWriter(api, namespace=namespace, clock=SystemClock())
        yield CommitmentFollower(read, editor, events.tell_once)


def _gist(why: str) -> str:
    """Return a reason without its numbers: how much is there, and when, may be another each time."""
    return _NUMBER.sub("#", why)
