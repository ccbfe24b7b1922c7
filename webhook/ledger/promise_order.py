"""
The order of decisions on what is promised: every replica makes them by the same promises, one after another.

An edit of the policy that changes promises has a mark in the ledger from before it is judged until it is in force.
Meanwhile nobody decides in pools of nodes, so nobody takes what the edit promises, or what it was judged by. Promises
that begin or end by the clock do so for all replicas with the first decision after that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from webhook.ledger.protocol import Ledger
from webhook.ports import PromisesChangingError
from webhook.quota.decision import Decision
from webhook.quota.objects import StoredVersion
from webhook.quota.promises import MarkedEdit

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

_BETWEEN_TRIES = 0.05
"""Seconds until a request is decided again that waits for an edit of what is promised."""

_MOST_KNOWN = 1_000
"""ConfigMaps that were seen last, with their versions: of one that is gone it is known that the edit was stored."""

_MOST_AHEAD = timedelta(minutes=5)
"""By how much the clock of another replica may be ahead: one that is years ahead must not end the promises of all."""


async def retry_while_promises_change(
    decide: Callable[[], Awaitable[Decision]], *, deadline: float, monotonic: Callable[[], float]
) -> Decision:
    """
    Return what *decide* returns, which waits for an edit of what is promised if it depends on that.

    Raises: PromisesChangingError if that takes until *deadline*; and what *decide* raises.
    """
    while True:
        try:
            return await decide()
        except PromisesChangingError:
            if monotonic() + _BETWEEN_TRIES >= deadline:
                raise
        await asyncio.sleep(_BETWEEN_TRIES)


class _SeenConfigMaps:
    """The ConfigMaps of the policy as a replica has seen them, at one `position` of its watch."""

    def __init__(self) -> None:
        self.position = 0
        self._present: Mapping[str, StoredVersion] | None = None
        self._last_versions: dict[str, int] = {}
        """The last version of each uid that was ever seen."""

    def show(self, seen: Mapping[str, StoredVersion] | None, position: int) -> None:
        """Record what there is by now; None if that is not known."""
        self._present, self.position = seen, position
        for each in (seen or {}).values():
            self._last_versions.pop(each.uid, None)
            self._last_versions[each.uid] = each.version
        while len(self._last_versions) > _MOST_KNOWN:
            del self._last_versions[next(iter(self._last_versions))]

    def version_showing(self, edit: MarkedEdit) -> int | None:
        """
        Return at which version *edit* is shown, or what was written after it; 0 if that is gone, None if neither.

        What was part of the policy at the base, or was seen since, and is not now was deleted, or has lost its label.
        What was no part and was never seen may still become one.
        """
        if self._present is None:
            return None
        found = self._present.get(edit.name)
        if found is not None and (found.uid == edit.uid or edit.was_part):
            return found.version if found.version > edit.base else None
        is_gone = self.position > edit.base if edit.was_part else self._last_versions.get(edit.uid, 0) > edit.base
        return 0 if is_gone else None


class _Mark(NamedTuple):
    """A mark that the next swap writes, and the last begin or end by which its edit is judged."""

    edit: MarkedEdit
    since: datetime | None


class PromiseOrder:
    """
    What one replica knows of the marks and of the policy. A method that reads a version of the ledger takes it as
    *ledger*: the one on which a decision is made.
    """

    def __init__(self, *, new_token: Callable[[], str], counted_since: Callable[[], datetime | None]) -> None:
        """
        Start without a policy. *new_token* returns a text that no replica has ever used.

        *counted_since* returns the last begin or end of a promise that the usage index counts as passed.
        """
        self._new_token = new_token
        self._counted_since = counted_since
        self._tentative: dict[str, _Mark] = {}
        self._over: set[str] = set()
        self._seen = _SeenConfigMaps()
        self._in_force = _SeenConfigMaps()
        self._changed_at = 0

    # Events.

    def policy_seen(self, seen: Mapping[str, StoredVersion], *, version: int) -> None:
        """Record which ConfigMaps there are as of *version*, in force or not."""
        self._seen.show(seen, version)

    def policy_in_force(self, seen: Mapping[str, StoredVersion] | None, *, version: int, changed_at: int) -> None:
        """Record what this replica goes by now. See `PromiseOrdering.policy_in_force`."""
        self._in_force.show(seen, version)
        self._changed_at = changed_at

    def mark(self, edit: MarkedEdit, *, since: datetime | None) -> str:
        """
        Put a mark of *edit* into what the next swap writes; return its token.

        It is judged by what has begun and ended until *since*, the last of these times.
        """
        token = self._new_token()
        self._tentative[token] = _Mark(edit, since)
        return token

    def unmark(self, token: str) -> None:
        """Have the next swap take out a mark: its edit was refused, or can no longer be stored."""
        self._tentative.pop(token, None)
        self._over.add(token)

    @property
    def has_marks(self) -> bool:
        """Whether there is a mark that a swap must write."""
        return bool(self._tentative)

    def undo(self) -> None:
        """Forget what was to be marked: the swap was lost, or not tried."""
        self._tentative.clear()

    def take_in(self, ledger: Ledger) -> None:
        """Record that *ledger* is the present version."""
        self._tentative.clear()
        self._over &= ledger.edits.keys()

    # Queries.

    def require_no_open_edit(self, ledger: Ledger) -> None:
        """Check that this replica may decide on what is promised. Raises: PromisesChangingError."""
        for _, edit in self.open_marks(ledger):
            raise _being_stored(edit)
        if self._in_force.position < ledger.policy_version:
            versions = f"of version {self._in_force.position}, others by that of version {ledger.policy_version}"
            raise PromisesChangingError(f"this replica goes by the policy {versions}: try again in a moment")

    def check_may_mark(self, ledger: Ledger) -> None:
        """
        Check that an edit may be marked: every other one has become what this replica sees stored, in force or not.

        Raises: PromisesChangingError.
        """
        for token, edit in ledger.edits.items():
            if token not in self._over and self._seen.version_showing(edit) is None:
                raise _being_stored(edit)
        if self._seen.position < ledger.policy_version:
            raise PromisesChangingError("this replica has not seen the newest policy yet: try again in a moment")

    def time(self, ledger: Ledger, now: datetime) -> datetime:
        """
        Return *now*, or the time up to which promises have begun and ended for others, whichever is later.

        If that is more than five minutes later, a clock is wrong, and ours is believed.
        """
        if not ledger.promised_at:
            return now
        promised_at = _EPOCH + ledger.promised_at * _MICROSECOND
        return promised_at if now < promised_at <= now + _MOST_AHEAD else now

    def open_marks(self, ledger: Ledger) -> Iterator[tuple[str, MarkedEdit]]:
        """Yield the marks that this replica has not seen to be over, with their tokens."""
        return ((token, edit) for token, edit in ledger.edits.items() if not self._is_over(token, edit))

    def has_changes(self, ledger: Ledger) -> bool:
        """Whether a swap has marks to take out."""
        return any(self._is_over(token, edit) for token, edit in ledger.edits.items())

    def following(self, ledger: Ledger) -> Ledger:
        """Return *ledger* as the next swap writes it, as far as it is about promises."""
        in_force = [self._version_in_force(edit) for token, edit in ledger.edits.items() if token not in self._over]
        passed = [(each - _EPOCH) // _MICROSECOND for each in self._passed()]
        return replace(
            ledger,
            edits={**dict(self.open_marks(ledger)), **{token: each.edit for token, each in self._tentative.items()}},
            policy_version=max((ledger.policy_version, *in_force)),
            promised_at=max((ledger.promised_at, *passed)),
        )

    def _passed(self) -> Iterator[datetime]:
        """Yield the last begins and ends by which this replica has decided, or judges."""
        if (counted := self._counted_since()) is not None:
            yield counted
        yield from (each.since for each in self._tentative.values() if each.since is not None)

    def _is_over(self, token: str, edit: MarkedEdit) -> bool:
        return token in self._over or self._version_in_force(edit) > 0

    def _version_in_force(self, edit: MarkedEdit) -> int:
        """Return the version at which *edit*, or what was written after it, came into force here; 0 before that."""
        at = self._in_force.version_showing(edit)
        if at is None:
            return 0
        return at or max(self._changed_at, 1)


def _being_stored(edit: MarkedEdit) -> PromisesChangingError:
    what = f"an edit of what is promised is being stored, in ConfigMap {edit.name}"
    return PromisesChangingError(f"{what}: try again in a moment")
