"""
Events on the ConfigMap of commitments, by commands that go on until they are stopped: each reason is told once.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from webhook.documents.policy_config_map import PolicyConfigMap
from webhook.kube.api import ApiError
from webhook.kube.events import ConfigMapEvent
from webhook.kube.kept_policy import NAME
from webhook.ports import WebhookError

log = structlog.get_logger(__name__)

MOST_TOLD: Final = 10
"""Events of one reason in one round; the others follow in the next ones."""

_NUMBER: Final = re.compile(r"[0-9]+", re.ASCII)


class Told:
    """
    What was told, by what it is about: once, until it is otherwise or was over.

    Numbers do not make it otherwise: how much is there, and when, may be another each time.
    """

    def __init__(self) -> None:
        self._told: dict[str, str] = {}

    def due(self, messages: Mapping[str, str]) -> list[tuple[str, str]]:
        """Return those of *messages* that are not told yet, in the order of names. What is not there now is over."""
        self._told = {name: told for name, told in self._told.items() if name in messages}
        return [(name, message) for name, message in sorted(messages.items()) if self._told.get(name) != _gist(message)]

    def add(self, name: str, message: str) -> None:
        """Record that a message is told."""
        self._told[name] = _gist(message)

    def clear(self) -> None:
        """Record that all of it is over."""
        self._told.clear()


@dataclass(frozen=True, slots=True)
class CommitmentEvents:
    """
    Writes Events on the ConfigMap of commitments, one of those that `maps` returns. `store` stores one, see
    `EventWriter.tell_once`.
    """

    maps: Callable[[], Awaitable[Sequence[PolicyConfigMap]]]
    store: Callable[[ConfigMapEvent, str], Awaitable[bool]]

    async def tell(self, reason: str, due: Iterable[tuple[str, str]], told: Told, *, is_warning: bool = True) -> None:
        """
        Store an Event for each of *due*, and record in *told* which are stored, be it by another run. What cannot be
        stored now is due again.
        """
        uid = ""
        for name, message in due:
            uid = uid or await self._uid()
            if not uid:
                return
            event = ConfigMapEvent(NAME, uid, reason, message, is_warning)
            if await self._is_stored(event, f"{reason}/{name}/{_gist(message)}"):
                told.add(name, message)

    async def _is_stored(self, event: ConfigMapEvent, identity: str) -> bool:
        try:
            await self.store(event, identity)
        except ApiError as error:
            log.warning("event could not be written yet", reason=event.reason, why=str(error))
            return False
        return True

    async def _uid(self) -> str:
        """Return the uid of the ConfigMap of commitments, on which Events are; empty if there is none, or no answer."""
        try:
            maps = await self.maps()
        except WebhookError:
            return ""
        return next((each.metadata.uid for each in maps if each.metadata.name == NAME), "")


def _gist(message: str) -> str:
    return _NUMBER.sub("#", message)
