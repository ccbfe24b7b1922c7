"""
Changes commitments for `userquota commitments`: reads what is stored, makes one change, and writes it if the admission
of edits accepts it.

What changes there are is in `quota.commitment_changes`; whether nodes have what they promise, the admission decides.
"""

from __future__ import annotations

import asyncio
import enum
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import takewhile
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from webhook.admission.config_map_edit import without_advice
from webhook.documents.kept_policy import KeptPolicy, KeptPolicyStore, PolicyRefusedError, StoredPolicy, kept_text
from webhook.documents.policy_config_map import FORCE_ANNOTATION, PolicyConfigMap
from webhook.documents.policy_text import PolicyReading, read_policy
from webhook.kube.api import ActingAs, KubernetesApi
from webhook.kube.kept_policy import NAME, KeptPolicyConfigMap
from webhook.kube.policy_maps import read_policy_maps
from webhook.ports import Sleep, UnavailableError
from webhook.quota import commitment_changes
from webhook.quota.commitment_changes import ByName, ChangeError
from webhook.quota.commitments import Commitment, State
from webhook.wiring.judged_edits import is_judged

_TRIES = 6
_PAUSE = 0.2
"""Seconds before another try, times the number of tries that there were: others write one edit at a time."""

_MOST_TOLD = 5

_NOTHING: Mapping[str, str] = MappingProxyType({})


def now() -> datetime:
    """Return the time in whole seconds, as policies have it."""
    return datetime.fromtimestamp(int(time.time()), UTC)


class Known(NamedTuple):
    """
    All commitments at the time `now`, in whatever ConfigMap they stand, and what resources are worth by class.

    Those in `elsewhere` stand where no command writes. `annotations` are those of the ConfigMap where they do.
    """

    commitments: ByName
    worth: Mapping[str, Mapping[str, int]]
    now: datetime
    elsewhere: ByName
    annotations: Mapping[str, str] = _NOTHING

    def worth_of(self, node_class: str) -> Mapping[str, int]:
        """Return what one of each resource of a class is worth."""
        return self.worth.get(node_class, {})


Change = Callable[[Known], ByName]
"""Returns the commitments that are to be there instead. Raises: ChangeError."""


class What(enum.Enum):
    """What became of a commitment."""

    CREATED = "created"
    CHANGED = "changed"
    DELETED = "deleted"


class Changed(NamedTuple):
    """A commitment after a change, before it if it is deleted, and its state then."""

    what: What
    commitment: Commitment
    state: State


@dataclass(frozen=True, slots=True)
class Edited:
    """What a change made or changed, in the order of names, and what the API server warned of."""

    changes: tuple[Changed, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Waiting:
    """One that waits on, and why."""

    commitment: Commitment
    why: str


@dataclass(frozen=True, slots=True)
class Served:
    """Those of a queue that are confirmed now, and those that wait on, in the order in which they are served."""

    confirmed: Edited = field(default_factory=Edited)
    waiting: tuple[Waiting, ...] = ()


class ElsewhereError(ChangeError):
    """A commitment that stands in another ConfigMap than the one that commands write."""

    def __init__(self, commitment: Commitment) -> None:
        """Name it, and where it stands."""
        source, _, line = commitment.place.rpartition(":")
        config_map, _, key = source.partition("/")
        super().__init__(
            f"{commitment.name} stands in ConfigMap {config_map}, key {key}, line {line}: edit it there, commands "
            f"change only what is in ConfigMap {NAME}"
        )


class RefusedError(PolicyRefusedError):
    """The admission of edits refused a change; `soonest` is what ends first of what was promised of the same nodes."""

    def __init__(self, message: str, soonest: Commitment | None) -> None:
        """Keep what was said, and what ends first."""
        super().__init__(message)
        self.soonest = soonest

    @property
    def why(self) -> str:
        """Return what was said, on one line and without what to do to have it accepted."""
        return without_advice(str(self)).replace("\n", " ")


class _Found(NamedTuple):
    """What is stored where commands write, all that is known, and why the policy is not in force; else empty."""

    stored: StoredPolicy
    known: Known
    trouble: str


@dataclass(slots=True)
class CommitmentEditor:
    """
    Changes what is in `store`; `maps` returns all ConfigMaps of the policy, that one among them.

    `warnings` gets what the API server warns of with an answer.
    """

    store: KeptPolicyStore
    maps: Callable[[], Awaitable[Sequence[PolicyConfigMap]]]
    warnings: list[str] = field(default_factory=list)
    clock: Callable[[], datetime] = now
    sleep: Sleep = asyncio.sleep

    async def edit(
        self,
        change: Change,
        *,
        annotations: Mapping[str, str] = _NOTHING,
        force: str = "",
        dry_run: bool = False,
        mends: bool = False,
    ) -> Edited:
        """
        Make a *change*, or only have it judged if *dry_run*; what changes nothing is not written. *annotations* are
        written with it. A reason in *force* has it accepted where it is refused otherwise. One that *mends* is made
        even if the policy has mistakes, as far as it concerns nothing elsewhere.

        Raises: ChangeError, RefusedError; KeptPolicyError; UnavailableError, after which it may have been made.
        """
        tried, changes = "", tuple[Changed, ...]()
        for count in range(_TRIES):
            await self._pause(count)
            found = await self._read(mends=mends)
            if _is_there(found, tried):
                return Edited(changes)
            after = _changed(found, change)
            changes = tuple(_changes(found.known, after))
            if not changes and annotations.items() <= found.stored.annotations.items():
                return Edited()
            if not await is_judged(self.store, found.stored):
                continue
            added = {**annotations, FORCE_ANNOTATION: force} if force else annotations
            if await self._is_written(found, after, annotations=added, dry_run=dry_run):
                return Edited(changes, self._told())
            tried = "" if dry_run else kept_text(_content(found, after))
        raise _busy()

    async def serve(self, *, dry_run: bool = False) -> Served:
        """
        Confirm those that wait, in the order of each pool, for which there is room; one without room holds back those
        behind it. All are confirmed in one edit, or only judged if *dry_run*. Raises: as `edit`.
        """
        tried, served = "", Served()
        for count in range(_TRIES):
            await self._pause(count)
            found = await self._read()
            if _is_there(found, tried):
                return served
            turn = await self._queue(found)
            if turn is None:
                continue
            after, waiting = turn
            served = Served(Edited(tuple(_changes(found.known, after))), tuple(waiting))
            if not served.confirmed.changes:
                return served
            if not await is_judged(self.store, found.stored):
                continue
            try:
                if await self._is_written(found, after, dry_run=dry_run):
                    return replace(served, confirmed=replace(served.confirmed, warnings=self._told()))
            except RefusedError:  # others have taken the room meanwhile
                continue
            tried = "" if dry_run else kept_text(_content(found, after))
        raise _busy()

    async def _queue(self, found: _Found) -> tuple[ByName, list[Waiting]] | None:
        """Return the commitments with those confirmed that find room, and those that wait on; None if others wrote."""
        after, waiting = found.known.commitments, list[Waiting]()
        for pool, names in commitment_changes.waiting(after, found.known.now):
            listed = [found.known.commitments[name] for name in names]
            reachable = list(takewhile(lambda each: each.name not in found.known.elsewhere, listed))
            turn = await self._first_of(found, after, reachable)
            if turn is None:
                return None
            after, count, why = turn
            if count < len(listed):
                first = listed[count]
                waiting.append(Waiting(first, why or str(ElsewhereError(first))))
                behind = f"{first.name} waits before it for {pool}"
                waiting += (Waiting(each, behind) for each in listed[count + 1 :])
        return after, waiting

    async def _first_of(
        self, found: _Found, before: ByName, queue: Sequence[Commitment]
    ) -> tuple[ByName, int, str] | None:
        """
        Return *before* with as many from the head of *queue* confirmed as find room, how many that are, and why the
        next one does not, empty if all do; None if others wrote.

        All are tried first, then half of them and so on: where some find no room, with more of them there is none.
        """
        after, why, fewest, most = before, "", 0, len(queue)
        count = most
        while fewest < most:
            trial = before
            for each in queue[:count]:
                trial = commitment_changes.confirm(trial, each.name, found.known.now)
            try:
                if not await self._is_written(found, trial, dry_run=True):
                    return None
                after, fewest = trial, count
            except RefusedError as error:
                why, most = error.why, count - 1
            count = (fewest + most + 1) // 2
        return after, fewest, why

    async def _read(self, *, mends: bool = False) -> _Found:
        stored = await self.store.read()
        maps = await self.maps()
        reading = await asyncio.to_thread(read_policy, [text for each in maps for text in each.texts()])
        trouble = trouble_with(maps, reading)
        if trouble and not mends:
            raise UnavailableError("policy", f"the policy has mistakes, and is not in force. Mend it first: {trouble}")
        policy = reading.policy
        every = () if policy is None else policy.commitments.every
        elsewhere = {each.name: each for each in every if not each.place.startswith(f"{NAME}/")}
        known = {**elsewhere, **stored.content.commitments}
        worth = {} if policy is None else policy.worth
        return _Found(stored, Known(known, worth, self.clock(), elsewhere, stored.annotations), trouble)

    async def _is_written(
        self, found: _Found, after: ByName, *, annotations: Mapping[str, str] = _NOTHING, dry_run: bool
    ) -> bool:
        """
        Write the commitments of *after*; return False if others wrote meanwhile.

        Raises: ElsewhereError, RefusedError, UnavailableError.
        """
        before = found.known.commitments
        touched = [name for name in (*before, *after) if before.get(name) != after.get(name)]
        if stands := next((found.known.elsewhere[name] for name in touched if name in found.known.elsewhere), None):
            raise ElsewhereError(stands)
        self.warnings.clear()
        content = _content(found, after)
        try:
            return await self.store.write(content, after=found.stored, annotations=annotations, dry_run=dry_run)
        except PolicyRefusedError as error:
            raise RefusedError(str(error), _soonest(found.known, after, touched)) from error

    async def _pause(self, count: int) -> None:
        if count:
            await self.sleep(_PAUSE * count)

    def _told(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self.warnings))


@asynccontextmanager
async def connected_editor(
    kubeconfig: Path | None, context: str | None, acting_as: ActingAs | None, *, namespace: str
) -> AsyncIterator[CommitmentEditor]:
    """Connect to a cluster where userquota is installed in *namespace*. Raises: KubeconfigError."""
    async with editing_api(kubeconfig, context, acting_as, namespace=namespace) as (editor, _):
        yield editor


@asynccontextmanager
async def editing_api(
    kubeconfig: Path | None, context: str | None, acting_as: ActingAs | None, *, namespace: str
) -> AsyncIterator[tuple[CommitmentEditor, KubernetesApi]]:
    """Connect as `connected_editor`, for who needs more of the API than that. Raises: KubeconfigError."""
    warnings: list[str] = []
    api = await KubernetesApi.connect(
        kubeconfig=kubeconfig, context=context, acting_as=acting_as, on_warning=warnings.append
    )
    try:
        store = KeptPolicyConfigMap(api, namespace=namespace)
        yield CommitmentEditor(store, lambda: read_policy_maps(api, namespace=namespace), warnings), api
    finally:
        await api.close()


def _changed(found: _Found, change: Change) -> ByName:
    """Return the commitments after a change. Raises: ChangeError; UnavailableError if they are not all known."""
    try:
        return change(found.known)
    except ChangeError as error:
        if not found.trouble:
            raise
        why = f"{error}. What else there is cannot be told, as the policy has mistakes: {found.trouble}"
        raise UnavailableError("policy", why) from error


def _is_there(found: _Found, tried: str) -> bool:
    """Whether the text that was *tried* is stored: an answer was lost, and another try met what the first wrote."""
    return bool(tried) and kept_text(found.stored.content) == tried


def _content(found: _Found, after: ByName) -> KeptPolicy:
    mine = {name: each for name, each in after.items() if name not in found.known.elsewhere}
    return replace(found.stored.content, commitments=mine)


def _changes(known: Known, after: ByName) -> list[Changed]:
    before = known.commitments
    found = []
    for name in sorted(before.keys() | after.keys()):
        was, will = before.get(name), after.get(name)
        if will is None:
            found.append(Changed(What.DELETED, before[name], before[name].state_at(known.now)))
        elif was != will:
            what = What.CREATED if was is None else What.CHANGED
            found.append(Changed(what, will, will.state_at(known.now)))
    return found


def _soonest(known: Known, after: ByName, touched: Collection[str]) -> Commitment | None:
    """Return what ends first of what was promised of the pools that a change touches, and is not touched itself."""
    pools = {after[name].pool for name in touched if name in after}
    others = {name: each for name, each in known.commitments.items() if name not in touched and each.pool in pools}
    return commitment_changes.next_to_end(others, known.now)


def trouble_with(maps: Sequence[PolicyConfigMap], reading: PolicyReading) -> str:
    """Return why what stands in *maps* is not in force: the first mistakes on one line, empty for none."""
    told = [*(fault.message for each in maps for fault in each.faults), *map(str, reading.mistakes)]
    more = [f"and {len(told) - _MOST_TOLD} more"] if len(told) > _MOST_TOLD else []
    return "; ".join([*told[:_MOST_TOLD], *more])


def _busy() -> UnavailableError:
    return UnavailableError("commitments", f"others wrote {NAME} at the same time again and again: try again")
