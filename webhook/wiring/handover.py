"""
Hands stored objects over to another owner, for `userquota adopt`: asks for all of them first, and undoes what it began.

Each object is one decision of the webhook. All of them together are not: see docs/attribution.md.
"""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from webhook.attribution.claim_templates import StatefulSet
from webhook.attribution.handover import Family, Owned, Plan
from webhook.attribution.stamp import written_owner
from webhook.kinds.evaluator import AnyKind
from webhook.kinds.registry import KINDS
from webhook.kube.api import ApiError, ForbiddenError, KubernetesApi
from webhook.kube.object_list import read_pages
from webhook.kube.object_reads import ObjectReads
from webhook.kube.owner_changes import Answer, Changed, NewOwner, OwnerChanges
from webhook.ports import UnavailableError, WebhookError
from webhook.quota.objects import ObjectKey, ObjectMeta
from webhook.registration import (
    RegistrationError,
    default_exemptions,
    manifest_files,
    read_live_exemptions,
)
from webhook.wiring.handover_kinds import HandoverError, kind_called, session_kinds

_LOOKS = 3
"""How often is looked for what was made meanwhile. After the workloads have moved nothing new has the former owner."""

_STATEFUL_SETS = KINDS.of_object("apps/v1", "StatefulSet")


@dataclass(frozen=True, slots=True)
class Named:
    """One object, with what was made for it. `word` is its kind as people call it."""

    word: str
    name: str


@dataclass(frozen=True, slots=True)
class AllOf:
    """All that one owner pays for."""

    owner: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Handover:
    """
    What is wanted. `namespace` empty means the one of the kubeconfig; `everywhere` is all namespaces instead.

    A dry run only asks whether each object may have the new owner.
    """

    target: Named | AllOf
    to: NewOwner
    namespace: str = ""
    everywhere: bool = False
    dry_run: bool = False


class State(enum.Enum):
    """What became of an object. UNKNOWN: there was no answer, and it may have either owner."""

    MOVED = "moved"
    WOULD_MOVE = "would move"
    LEFT = "left"
    GONE = "gone"
    REFUSED = "refused"
    NOT_MOVED = "not moved"
    HANDED_BACK = "handed back"
    STAYS = "stays"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Result:
    """
    One object and what became of it; `text` says why, or for LEFT who the owner is.

    The payer of `owned` is the former one, its metadata are the newest known.
    """

    owned: Owned
    state: State
    text: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of each object. `trouble` says what could not be read, or was not answered; empty if nothing."""

    results: tuple[Result, ...] = ()
    trouble: str = ""

    @property
    def is_refused(self) -> bool:
        """Whether any object was refused."""
        return any(each.state is State.REFUSED for each in self.results)


async def hand_over(wanted: Handover, *, kubeconfig: Path | None, context: str | None) -> Outcome:
    """
    Hand over what is *wanted*, or find out whether that would be allowed.

    Raises: KubeconfigError; HandoverError; UnavailableError if the API cannot be read, or nothing was changed yet when
    it stopped to answer.
    """
    api = await KubernetesApi.connect(kubeconfig=kubeconfig, context=context)
    try:
        namespace = "" if wanted.everywhere else wanted.namespace or api.namespace
        look = _Look(api, wanted, namespace, await _exempt_namespaces(api))
        return await carry_out(wanted, look.plan, OwnerChanges(api))
    finally:
        await api.close()


async def carry_out(wanted: Handover, look: Callable[[], Awaitable[Plan]], changes: OwnerChanges) -> Outcome:
    """
    Ask for everything that *look* plans, then move it, and what was made meanwhile. See `hand_over`.

    If anything is refused when asked, nothing is moved. If anything is refused later, what was moved is handed back.
    """
    plan = await look()
    left = tuple(Result(each, State.LEFT, each.payer.owner) for each in plan.left)
    asked = [await _tried(changes, each, wanted.to, dry_run=True) for each in plan.moves]
    if wanted.dry_run:
        return Outcome((*asked, *left))
    if any(each.state is State.REFUSED for each in asked):
        return Outcome((*(_not_moved(each) for each in asked), *left))
    outcome = await _Moving(changes, wanted.to).move_all(plan.moves, look)
    return replace(outcome, results=(*outcome.results, *left))


class _Moving:
    """Moves objects one after the other, and hands them back when one is refused."""

    def __init__(self, changes: OwnerChanges, to: NewOwner) -> None:
        self._changes = changes
        self._to = to
        self._results: list[Result] = []

    async def move_all(self, moves: Sequence[Owned], look: Callable[[], Awaitable[Plan]]) -> Outcome:
        known: set[str] = set()
        for _ in range(_LOOKS):
            new = [each for each in moves if each.meta.uid not in known]
            if not new:
                break
            known.update(each.meta.uid for each in new)
            stopped = await self._move(new)
            if stopped is not None:
                return stopped
            try:
                moves = (await look()).moves
            except WebhookError as error:
                return Outcome(tuple(self._results), f"what was made meanwhile may be left: {error}")
        return Outcome(tuple(self._results))

    async def _move(self, moves: Sequence[Owned]) -> Outcome | None:
        """Move objects until one is refused; return the outcome then, None if all were moved."""
        for position, each in enumerate(moves):
            trouble = ""
            try:
                result = await _tried(self._changes, each, self._to)
            except UnavailableError as error:
                result, trouble = Result(each, State.UNKNOWN, str(error)), str(error)
            self._results.append(result)
            if result.state in (State.REFUSED, State.UNKNOWN):
                rest = [Result(other, State.NOT_MOVED) for other in moves[position + 1 :]]
                await self._hand_back()
                return Outcome((*self._results, *rest), trouble)
        return None

    async def _hand_back(self) -> None:
        """
        Hand back what was moved, the last first: workloads before their pods, which they would make anew.

        Where there is no answer, the rest is not tried: it would wait for each.
        """
        silent = ""
        for position, result in reversed(list(enumerate(self._results))):
            if result.state not in (State.MOVED, State.UNKNOWN):
                continue
            try:
                self._results[position] = _stays(result, silent) if silent else await self._handed_back(result)
            except UnavailableError as error:
                silent = str(error)
                self._results[position] = _stays(result, silent)

    async def _handed_back(self, result: Result) -> Result:
        owned = result.owned
        former = NewOwner(owned.payer.owner, owned.payer.groups)
        changed = await self._changes.change(owned.kind, owned.meta, former, expected=self._to.owner)
        if changed.answer is Answer.REFUSED:
            return _stays(result, changed.text)
        if changed.answer is Answer.DONE and result.state is State.UNKNOWN:
            return Result(owned, State.NOT_MOVED, result.text)
        return replace(_result(owned, changed, State.HANDED_BACK), owned=owned)


async def _tried(changes: OwnerChanges, owned: Owned, to: NewOwner, *, dry_run: bool = False) -> Result:
    """Hand one object over. Raises: UnavailableError."""
    expected = written_owner(owned.meta)
    changed = await changes.change(owned.kind, owned.meta, to, expected=expected, dry_run=dry_run)
    return _result(owned, changed, State.WOULD_MOVE if dry_run else State.MOVED)


def _result(owned: Owned, changed: Changed, done: State) -> Result:
    """Return what an answer says of an object, with *done* for a change that was made."""
    match changed.answer:
        case Answer.DONE:
            return Result(replace(owned, meta=changed.meta or owned.meta), done, changed.text)
        case Answer.GONE:
            return Result(owned, State.GONE)
        case Answer.OTHER_OWNER:
            return Result(owned, State.LEFT, changed.text)
        case Answer.REFUSED:
            return Result(owned, State.REFUSED, changed.text)


def _not_moved(asked: Result) -> Result:
    return replace(asked, state=State.NOT_MOVED, text="") if asked.state is State.WOULD_MOVE else asked


def _stays(result: Result, why: str) -> Result:
    """Return that an object was not handed back; that nothing is known of it, if that was so before."""
    return replace(result, state=State.UNKNOWN if result.state is State.UNKNOWN else State.STAYS, text=why)


class _Look:
    """Looks for the objects that are wanted, live; the owner of a named object is the one of the first look."""

    def __init__(self, api: KubernetesApi, wanted: Handover, namespace: str, exempt: frozenset[str]) -> None:
        """Raises: HandoverError."""
        if namespace in exempt:
            raise HandoverError(f"nobody pays for what is in namespace {namespace}: it is exempt")
        self._api = api
        self._wanted = wanted
        self._namespace = namespace
        self._exempt = exempt
        self._former: str | None = None

    async def plan(self) -> Plan:
        """Return what moves, and what is beside it. Raises: UnavailableError, HandoverError."""
        target, to = self._wanted.target, self._wanted.to.owner
        if isinstance(target, AllOf):
            kinds = (*KINDS, *await session_kinds(self._api))
            return (await self._family(kinds)).plan_all_of(target.owner, to=to)
        kind = await kind_called(self._api, target.word)
        family = await self._family(_with_what_is_made(kind))
        top = family.find(ObjectKey(kind.resource, self._namespace, target.name))
        if top is None and self._former is not None:
            return Plan()  # deleted since the first look
        if top is None:
            raise HandoverError(f"{kind.resource} {target.name} does not exist in namespace {self._namespace}")
        if self._former is None:
            self._former = top.payer.owner
        return family.plan_below(top, former=self._former, to=to, sets=await self._sets(top))

    async def _family(self, kinds: Sequence[AnyKind]) -> Family:
        found: list[tuple[AnyKind, ObjectMeta]] = []
        for kind in kinds:
            if kind.is_stamped:
                async for page in read_pages(self._api, kind, namespace=self._namespace):
                    found += ((kind, each.metadata) for each in page.items or () if self._counts(kind, each.metadata))
        return Family(found)

    def _counts(self, kind: AnyKind, meta: ObjectMeta) -> bool:
        return meta.namespace not in self._exempt and not kind.evaluator.is_excepted(meta, None)

    async def _sets(self, top: Owned) -> tuple[StatefulSet, ...]:
        """Return the object itself if it is a StatefulSet: only that makes claims by name."""
        if top.kind is not _STATEFUL_SETS:
            return ()
        reads = ObjectReads(self._api, KINDS)
        found = await reads.read_whole(top.kind, top.meta.namespace, top.meta.name, StatefulSet)
        return () if found is None or found.metadata.uid != top.meta.uid else (found,)


def _with_what_is_made(kind: AnyKind) -> tuple[AnyKind, ...]:
    """Return *kind* and those that controllers make for it: nothing for a kind with a row and no makers."""
    if KINDS.of_resource(kind.resource) is None:
        return (*KINDS, kind)
    return tuple(KINDS) if kind.makers else (kind,)


async def _exempt_namespaces(api: KubernetesApi) -> frozenset[str]:
    """Return the namespaces without owners: those of the manifests, if one may not read the live configurations."""
    manifests = manifest_files.webhook_manifests()
    try:
        return await read_live_exemptions(api, manifests)
    except ForbiddenError:
        return default_exemptions(manifests)
    except (ApiError, RegistrationError) as error:
        raise UnavailableError("api-server", f"the webhook configurations could not be read: {error}") from error
