"""
The kinds that only a policy names, found and watched while the process runs: limited by number, or read as sessions.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

import structlog

from webhook.kinds.autoscalers import AUTOSCALERS, AutoscalerEvaluator, Scaled, autoscaler_kind
from webhook.kinds.evaluator import AnyKind
from webhook.kinds.pods import PODS, PodEvaluator
from webhook.kinds.registry import Registry
from webhook.kinds.session_kind import SessionEvaluator, makers_of, session_kind
from webhook.kube.discovery import UnsuitableKindError
from webhook.ports import Condition, UnavailableError
from webhook.quota.objects import ObjectKey
from webhook.quota.policy import Entry, Policy, Reserve, SessionCount, WorkloadPayer
from webhook.quota.presets import Preset
from webhook.quota.tags import Tagging
from webhook.registration import CountedResources
from webhook.wiring.application import expect

log = structlog.get_logger(__name__)

_LOOK_SECONDS = 30.0
"""After which a kind is looked for again that the API did not serve: a definition may be installed after the policy."""

_SOON_SECONDS = 0.2
"""Between two looks whether all objects of a kind are known."""

_MOST_PLACES = 3

_UNKNOWN = "not all objects are known yet: userquota has to list and watch them, and allows no other before"


def _ignore(entry: Entry, why: str) -> None:
    """Do nothing: nobody has asked for reports."""


class Watches(Protocol):
    """The watches of charged kinds."""

    def add(self, kind: AnyKind) -> None:
        """Watch *kind*, too, from now on."""

    def is_known(self, resource: str) -> bool:
        """Return whether all objects of *resource* are known, counted as they are counted now."""

    def is_removed_from_api(self, resource: str) -> bool:
        """Return whether the API serves *resource* no more, and none of its objects is counted any more."""

    def recount(self, resource: str) -> None:
        """Count the objects of *resource* anew."""

    def relist_all(self) -> None:
        """Read all objects again, which are counted as before meanwhile."""


class WorkloadWatch(Protocol):
    """The workloads that autoscalers scale, watched once a policy sets room aside for them."""

    @property
    def known(self) -> Mapping[ObjectKey, Scaled]:
        """The workloads that are known, by key: a live view."""

    def follow(self, policy: Policy) -> None:
        """Follow *policy*, which comes into force."""

    def unknown(self) -> list[str]:
        """Return of which resources not all workloads are known: nobody knows how much is set aside for them."""


class PolicyKinds:
    """
    Adds the kinds that a policy limits by number, or reads as sessions, to *kinds*, and watches each.

    Those with a row of their own are intercepted in any case, and are charged at once. Others are looked up in the API
    with *discover*; only once all objects of one are known, `resources` asks for it to be intercepted. Of *workloads*
    autoscalers tell what is set aside. Belongs to one
    event loop. Which pods are sessions themselves is told to *pods*. `connect` must be called before the first policy.
    """

    def __init__(
        self,
        kinds: Registry,
        pods: PodEvaluator,
        *,
        discover: Callable[[str], Awaitable[AnyKind]],
        workloads: WorkloadWatch,
    ) -> None:
        self._kinds = kinds
        self._pods = pods
        self._charged = frozenset(each.resource for each in kinds.charged)
        self._with_row = frozenset(each.resource for each in kinds if each.is_countable)
        self._found: set[str] = set()
        self._unserved: set[str] = set()
        self._presets: dict[str, tuple[Preset, ...]] = {}
        self._evaluators: dict[str, SessionEvaluator] = {}
        self._frees_stopped = False
        self._reserve: frozenset[Reserve] = frozenset()
        self._autoscalers = AutoscalerEvaluator(f"count/{AUTOSCALERS}", workloads.known)
        self._workloads = workloads
        self.tagging = Tagging()
        """By the policy in force."""
        self._discover = discover
        self._watches: Watches
        self._on_known: Callable[[], None]
        self._on_unsuitable: Callable[[Entry, str], None] = _ignore
        self._limited: frozenset[str] = frozenset()
        self._policy: Policy | None = None
        self._remarks: dict[str, str] = {}
        self._changed = asyncio.Event()

    def connect(self, watches: Watches, *, on_known: Callable[[], None]) -> None:
        """Watch kinds by *watches*, and call *on_known* when other ones have to be intercepted than before."""
        self._watches = watches
        self._on_known = on_known

    def report_to(self, on_unsuitable: Callable[[Entry, str], None]) -> None:
        """Call *on_unsuitable* with each entry whose limit can have no effect, and why."""
        self._on_unsuitable = on_unsuitable

    def limit(self, policy: Policy) -> None:
        """Charge what *policy* limits by number: at once what has a row, the others once they are found."""
        for kind in self._kinds.count(policy.counted):
            self._watches.add(kind)
        self._workloads.follow(policy)
        self._read_sessions(policy)
        if self.tagging.read_by(policy.tags):
            self._watches.relist_all()
        named = policy.counted | self._presets.keys() | ({AUTOSCALERS} if self._reserves_autoscaled else set())
        self._limited, self._policy = named - self._charged, policy
        self._remarks = {each: why for each, why in self._remarks.items() if each in self._limited}
        self._await_sessions()
        self._changed.set()

    @property
    def _reserves_autoscaled(self) -> bool:
        return Reserve.AUTOSCALERS in self._reserve

    @property
    def _reserves_sessions(self) -> bool:
        return Reserve.SESSIONS in self._reserve

    def _await_sessions(self) -> None:
        """
        Have nothing decided on kinds of sessions before they are found: other replicas may know them already.

        Nor on one that the API did not serve: whoever asks about its objects shows that it does now.
        """
        self._kinds.awaited = {
            resource: (presets[0].group, presets[0].kind)
            for resource, presets in self._presets.items()
            if resource not in self._evaluators
        }
        self._kinds.unserved = frozenset(self._unserved)

    def resources(self) -> CountedResources | None:
        """Return what has to be intercepted although no manifest names it; None before the first policy."""
        if self._policy is None:
            return None
        limited = self._limited - self._with_row
        required = frozenset(filter(self._watches.is_known, limited))
        scaled = (name for name, presets in self._presets.items() if any(each.scale for each in presets))
        return CountedResources(
            required,
            kept=limited,
            changing=frozenset(self._presets) | ({AUTOSCALERS} if self._reserves_autoscaled else set()),
            scaled=frozenset(scaled),
            edits=self._policy.workload_payer is WorkloadPayer.LAST_EDITOR,
        )

    def is_counted(self, resource: str) -> bool:
        """Return whether all objects of *resource* are counted, or there can be none: the API does not serve it."""
        return self._watches.is_known(resource) or resource in self._unserved

    def require_sessions(self) -> None:
        """
        Check that all sessions are known, of whatever kind: their places are counted together.

        Raises: UnavailableError while a kind of a preset was not looked up or listed yet; one that the API does not
        serve has no objects.
        """
        waiting = (each for each in self._presets if not (self._knows_sessions(each) or each in self._unserved))
        if (resource := next(waiting, None)) is not None:
            raise UnavailableError("not-synced", f"the {resource} are not all known yet", affects_all=True)

    def require_autoscalers(self) -> None:
        """
        Check that all autoscalers and what they scale are known, if room is set aside for that.

        Raises: UnavailableError.
        """
        if not self._reserves_autoscaled:
            return
        if unknown := self._unknown_workloads():
            raise UnavailableError("not-synced", unknown)
        if not self.is_counted(AUTOSCALERS):
            raise UnavailableError("not-synced", f"the {AUTOSCALERS} are not all known yet", affects_all=True)

    def _knows_sessions(self, resource: str) -> bool:
        """Whether all sessions of *resource* are known, or that there are none because its definition was deleted."""
        if resource not in self._evaluators:
            return False
        return self._watches.is_known(resource) or self._watches.is_removed_from_api(resource)

    def _unknown_workloads(self) -> str:
        """Return which workloads, for which room is set aside, are not known yet, for people; nothing if all are."""
        unknown = self._workloads.unknown() if self._reserves_autoscaled else []
        return f"the workloads that are autoscaled ({', '.join(unknown)}) are not all known yet" if unknown else ""

    def condition(self) -> Condition:
        """
        Return whether every limit on a number is enforced, and all that autoscalers scale is known; otherwise what is
        missing, and why.
        """
        unknown = (each for each in self._limited if not self._watches.is_known(each))
        remarks = dict.fromkeys(unknown, _UNKNOWN) | self._remarks
        told = [f"{self._named(each)}: {why}" for each, why in sorted(remarks.items())]
        if workloads := self._unknown_workloads():
            told.append(f"reserve: {Reserve.AUTOSCALERS.value}: {workloads}, and nothing may cost more before")
        return expect(not told, "counts", "; ".join(told))

    def _read_sessions(self, policy: Policy) -> None:
        """Read objects by *policy* from now on; what was counted by other presets or classes is counted anew."""
        presets: dict[str, tuple[Preset, ...]] = {}
        self._reserve = policy.reserve
        changed = (
            self._pods.read_by(each for each in policy.presets if each.resource == PODS.resource),
            self._pods.place_by(policy.node_classes),
            self._pods.name_workloads(is_on=self._reserves_autoscaled),
        )
        if any(changed):
            self._watches.recount(PODS.resource)
        if self._autoscalers.reserve(is_on=self._reserves_autoscaled) and AUTOSCALERS in self._found:
            self._watches.recount(AUTOSCALERS)
        for each in policy.presets:
            if each.resource not in self._with_row | self._charged:
                presets[each.resource] = (*presets.get(each.resource, ()), each)
        is_other = presets.keys() != self._presets.keys()
        self._presets = presets
        self._found -= presets.keys() - self._evaluators.keys()  # watched for its number only: to be found as sessions
        self._frees_stopped = policy.session_count is SessionCount.RUNNING
        for resource, evaluator in self._evaluators.items():
            if evaluator.read_by(
                presets.get(resource, ()), frees_stopped=self._frees_stopped, reserves=self._reserves_sessions
            ):
                self._add_session(resource, evaluator)
                self._watches.recount(resource)
            elif is_other:
                self._count_anew(resource, evaluator)

    def _count_anew(self, resource: str, evaluator: SessionEvaluator) -> None:
        """Count the sessions of a kind anew: which of them are part of others depends on the kinds of these."""
        evaluator.count_anew()
        self._watches.recount(resource)

    def _add_session(self, resource: str, evaluator: SessionEvaluator) -> None:
        kind = self._kinds.of_resource(resource)
        if kind is not None:
            self._kinds.add(session_kind(kind, evaluator, makers_of(self._presets.get(resource, ()))))

    def _entries(self, resource: str) -> list[Entry]:
        return [] if self._policy is None else list(self._policy.limiting(f"count/{resource}"))

    def _named(self, resource: str) -> str:
        """Return what of the policy is about *resource*, for people: `count/x.y (cluster at policy/p.yaml:3)`."""
        named = [f"{each.path} at {each.place}" for each in self._entries(resource)[:_MOST_PLACES]]
        if not named and resource in self._presets:
            return f"sessions.presets {', '.join(each.name for each in self._presets[resource])} ({resource})"
        if not named and resource == AUTOSCALERS:
            return f"reserve: {Reserve.AUTOSCALERS.value} ({resource})"
        return f"count/{resource}" + (f" ({', '.join(named)})" if named else "")

    async def run(self) -> None:
        """Look for the kinds of each new policy, and again for those that were not found."""
        told: CountedResources | None = None
        while True:
            self._changed.clear()
            for resource in sorted(self._limited - self._with_row):
                if resource not in self._found:
                    await self._find(resource)
            if (now := self.resources()) != told:
                told = now
                self._on_known()
            is_pending = now is not None and bool((now.kept - now.required) & self._found)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_SOON_SECONDS if is_pending else _LOOK_SECONDS):
                    await self._changed.wait()

    async def _find(self, resource: str) -> None:
        try:
            kind = await self._discover(resource)
        except UnsuitableKindError as error:
            self._unserved.add(resource)
            self._await_sessions()
            if self._remark(resource, f"{error}; {'that' if resource in self._presets else 'the limit'} has no effect"):
                for entry in self._entries(resource):
                    self._on_unsuitable(entry, f"{entry.path}.hard[count/{resource}]: {self._remarks[resource]}")
        except UnavailableError as error:
            self._remark(resource, f"{_UNKNOWN}: {error}")
        else:
            self._remarks.pop(resource, None)
            self._unserved.discard(resource)
            self._found.add(resource)
            if (presets := self._presets.get(resource)) is not None:
                for other, counted in self._evaluators.items():
                    self._count_anew(other, counted)
                evaluator = self._evaluators[resource] = SessionEvaluator(
                    kind.count,
                    presets,
                    frees_stopped=self._frees_stopped,
                    is_session=self._kinds.is_session,
                    reserves=self._reserves_sessions,
                )
                kind = session_kind(kind, evaluator, makers_of(presets))
            elif resource == AUTOSCALERS:
                kind = autoscaler_kind(kind, self._autoscalers)
            self._kinds.add(kind)
            self._await_sessions()
            self._watches.add(kind)

    def _remark(self, resource: str, why: str) -> bool:
        """Record why a limit is not enforced; return whether that is new."""
        if self._remarks.get(resource) == why or resource not in self._limited:
            return False
        self._remarks[resource] = why
        log.warning("what the policy says of a kind cannot be enforced", resource=resource, reason=why)
        return True
