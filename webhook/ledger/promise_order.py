"""
Makes all replicas decide by the same promises.

An edit of the policy that changes what is promised of nodes, which commitments do and guaranteed parts of limits do
not, has a mark in the ledger from before it is judged until it is in force; docs/consistency.md#what-is-not-promised
says which edits have none. Meanwhile no replica decides in classes of nodes, so no decision can use capacity that the
edit promises or relied on. Promises that begin or end by the clock do so for all replicas with the first decision after
that.
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
"""Seconds until a request that waits for an edit of what is promised is decided again."""

_MOST_KNOWN = 1_000
"""ConfigMaps whose last version is remembered, to know of one that is gone whether an edit of it was stored."""

_MOST_AHEAD = timedelta(minutes=5)
"""How far the clock of another replica may be ahead: one that is years ahead must not end the promises of all."""


async def retry_while_promises_change(
    decide: Callable[[], Awaitable[Decision]], *, deadline: float, monotonic: Callable[[], float]
) -> Decision:
    """
    Return what *decide* returns; try again while it raises PromisesChangingError.

    Raises: PromisesChangingError if it still does at *deadline*; what else *decide* raises.
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
        """Record all ConfigMaps that there are at *position*, by name; None if that is not known."""
        self._present, self.position = seen, position
        for each in (seen or {}).values():
            self._last_versions.pop(each.uid, None)
            self._last_versions[each.uid] = each.version
        while len(self._last_versions) > _MOST_KNOWN:
            del self._last_versions[next(iter(self._last_versions))]

    def version_showing(self, edit: MarkedEdit) -> int | None:
        """
        Return the version at which *edit*, or a later write, is visible.

        0 if its ConfigMap was deleted or has lost its label since. None if the edit is not visible yet. Where the
        ConfigMap was no part of the policy at the base, not seeing it proves nothing: it may still become one.
        """
        if self._present is None:
            return None
        found = self._present.get(edit.name)
        if found is not None and (found.uid == edit.uid or edit.was_part):
            return found.version if found.version > edit.base else None
        is_gone = self.position > edit.base if edit.was_part else self._last_versions.get(edit.uid, 0) > edit.base
        return 0 if is_gone else None


class _Mark(NamedTuple):
    """The mark of an edit that the next swap writes; see `PromiseOrder.mark` for `since`."""

    edit: MarkedEdit
    since: datetime | None


class PromiseOrder:
    """
    What one replica knows of the marks and of the policy.

    *ledger* is always the version on which a decision is made, or from which the next one is made.
    """

    def __init__(self, *, new_token: Callable[[], str], counted_since: Callable[[], datetime | None]) -> None:
        """
        Start without a policy. *new_token* returns a text that no replica has ever used.

        *counted_since* returns the last begin or end of a promise that has passed for the usage index.
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
        """Record which ConfigMaps of the policy are stored as of *version*, in force or not."""
        self._seen.show(seen, version)

    def policy_in_force(self, seen: Mapping[str, StoredVersion] | None, *, version: int, changed_at: int) -> None:
        """Record from which ConfigMaps the policy in force was read. See `PromiseOrdering.policy_in_force`."""
        self._in_force.show(seen, version)
        self._changed_at = changed_at

    def mark(self, edit: MarkedEdit, *, since: datetime | None) -> str:
        """
        Put a mark of *edit* into what the next swap writes; return its token.

        *since* is the last begin or end of a promise by which the edit is judged, None if there is none.
        """
        token = self._new_token()
        self._tentative[token] = _Mark(edit, since)
        return token

    def unmark(self, token: str) -> None:
        """Have the next swap take out the mark *token*: its edit was refused, or can no longer be stored."""
        self._tentative.pop(token, None)
        self._over.add(token)

    @property
    def has_marks(self) -> bool:
        """Whether there is a mark that a swap must write."""
        return bool(self._tentative)

    def undo(self) -> None:
        """Forget marks that are not written: the swap was lost, or not tried."""
        self._tentative.clear()

    def take_in(self, ledger: Ledger) -> None:
        """
        Record that *ledger* is the present version.

        A mark whose swap got no answer is not forgotten too early: if it lands later, the version read before has
        changed, and it cannot land.
        """
        self._tentative.clear()
        self._over &= ledger.edits.keys()

    # Queries.

    def require_no_open_edit(self, ledger: Ledger) -> None:
        """
        Check that this replica may decide in classes of nodes: each marked edit is in force here, and no other replica
        goes by a newer policy. Raises: PromisesChangingError.
        """
        for _, edit in self.open_marks(ledger):
            raise _being_stored(edit)
        if self._in_force.position < ledger.policy_version:
            versions = f"version {self._in_force.position} in force, and version {ledger.policy_version} is newer"
            why = (
                f"this replica has the policy of {versions}: try again in a moment; if that one has a mistake, mend it"
            )
            raise PromisesChangingError(why)

    def check_may_mark(self, ledger: Ledger) -> None:
        """
        Check that an edit may be marked: this replica has seen each marked edit stored, in force or not, and the
        newest policy that any replica has in force. Raises: PromisesChangingError.
        """
        for token, edit in ledger.edits.items():
            if token not in self._over and self._seen.version_showing(edit) is None:
                raise _being_stored(edit)
        if self._seen.position < ledger.policy_version:
            raise PromisesChangingError("this replica has not seen the newest policy yet: try again in a moment")

    def time(self, ledger: Ledger, now: datetime) -> datetime:
        """
        Return *now*, or the time up to which promises have begun and ended for others, whichever is later.

        If that is more than five minutes later, a clock is wrong, and we trust our own.
        """
        if not ledger.promised_at:
            return now
        promised_at = _EPOCH + ledger.promised_at * _MICROSECOND
        return promised_at if now < promised_at <= now + _MOST_AHEAD else now

    def open_marks(self, ledger: Ledger) -> Iterator[tuple[str, MarkedEdit]]:
        """Return the marks whose edits are not in force here and were not taken out, with their tokens."""
        return ((token, edit) for token, edit in ledger.edits.items() if not self._is_over(token, edit))

    def has_changes(self, ledger: Ledger) -> bool:
        """Whether *ledger* has marks that a swap should take out."""
        return any(self._is_over(token, edit) for token, edit in ledger.edits.items())

    def following(self, ledger: Ledger) -> Ledger:
        """Return *ledger* with what the next swap writes of promises."""
        in_force = [self._version_in_force(edit) for token, edit in ledger.edits.items() if token not in self._over]
        passed = [(each - _EPOCH) // _MICROSECOND for each in self._passed()]
        return replace(
            ledger,
            edits={**dict(self.open_marks(ledger)), **{token: each.edit for token, each in self._tentative.items()}},
            policy_version=max((ledger.policy_version, *in_force)),
            promised_at=max((ledger.promised_at, *passed)),
        )

    def _passed(self) -> Iterator[datetime]:
        """Yield the last begin or end by which this replica has decided, and those by which it judges edits."""
        if (counted := self._counted_since()) is not None:
            yield counted
        yield from (each.since for each in self._tentative.values() if each.since is not None)

    def _is_over(self, token: str, edit: MarkedEdit) -> bool:
        return token in self._over or self._version_in_force(edit) > 0

    def _version_in_force(self, edit: MarkedEdit) -> int:
        """Return the version at which *edit*, or a later write, came into force here; 0 before that."""
        version = self._in_force.version_showing(edit)
        if version is None:
            return 0
        return version or max(self._changed_at, 1)  # of what is gone the last change is the newest that is known


def _being_stored(edit: MarkedEdit) -> PromisesChangingError:
    what = f"an edit of what is promised is being stored, in ConfigMap {edit.name}"
    return PromisesChangingError(f"{what}: try again in a moment")
