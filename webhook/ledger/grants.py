"""
Has a replica allow creates in its memory, within amounts that it took for that before: its grant.

Everybody counts the grants of others in full. So what one replica allows without a write fits beside all that others
allow, although they do not know of it. Near a limit nobody has a grant: a request that fits only beside less than
others were granted has them give it back, and is decided on the ledger. Rule 12 of docs/consistency.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain

from webhook.ledger.own_grant import VALID_FOR, Charged, Hards, Moment, OwnGrant
from webhook.ledger.protocol import Grant, Ledger, Room, SettledVersion
from webhook.quota.commitments import InForce
from webhook.quota.decision import Allowed, Decision
from webhook.quota.demand import Demand, LimitKey
from webhook.quota.expected import HeldForPods, PodSet
from webhook.quota.objects import ObjectKey
from webhook.quota.reservation import Reservation
from webhook.quota.resources import Amount
from webhook.quota.subject import Subject
from webhook.quota.usage import UsageView

_RENEWED_AFTER = VALID_FOR / 2
"""Seconds after which a grant is written anew, or given back if nobody has asked for so long."""

_SHARE = 8
"""
One of so many parts of what is free may be granted to one replica. Where less is free than so many requests take, none
is, so that the last places are not divided.
"""

_FIRST_REQUESTS = 16
_MOST_REQUESTS = 256
"""Requests for which a grant has room, for each flow: twice as many whenever half were used before it was renewed."""

_SWAPS_BEFORE = 1
"""
Swaps since a flow was asked for first, without a grant for it: what one person asks for once takes no room in the
ledger, and of many requests at once for a few places none is granted room while the others still wait.
"""

_WORTH_RENEWING = 8
"""
Requests. A grant for fewer is not renewed before it is used up: one swap for each few would cost more than it saves.
"""

_MOST_FLOWS = 64
"""Flows of which a replica knows; the one that was asked for longest ago is forgotten."""

_RECALLED_FOR = 5.0
"""Seconds in which nobody takes a grant of what was recalled: else it might be taken again before it is used."""

_OLDER_FOR = 60.0
"""Seconds without a grant after a swap by a replica that does not read them: it could not decide beside any."""


@dataclass(slots=True)
class _Flow:
    """Requests that are charged to the same limit keys: the last one, and how many the grant is to have room for."""

    demand: Demand
    used_at: float
    asked: int = 1
    swaps: int = 0
    since_swap: int = 1
    requests: int = _FIRST_REQUESTS
    granted: int = 0

    @property
    def recurs(self) -> bool:
        """Whether it was asked for again after a swap."""
        return self.swaps >= _SWAPS_BEFORE and self.asked > _SWAPS_BEFORE


class Grants:
    """
    The grants in the ledger, as one replica sees them: its own, and the sum of all others.

    *ledger* is always the version on which a decision is made, or which the next swap replaces.
    """

    def __init__(  # noqa: PLR0913 - all clocks and names of one replica, and only wiring calls this
        self,
        *,
        holder: str,
        resources: Collection[str],
        new_token: Callable[[], str],
        api_time: Callable[[], float],
        now: Callable[[], Moment],
        is_on: bool,
    ) -> None:
        """
        Start without a grant. Unless it *is_on* none is ever taken, and those of others are counted all the same.

        *holder* is the name of this replica, and *resources* are those that it charges. *new_token* returns a text that
        no replica has ever used. *now* is read when a decision is made, not once for several.
        """
        self._holder = holder
        self._resources = resources
        self._new_token = new_token
        self._api_time = api_time
        self._now = now
        self._is_on = is_on
        self.own = OwnGrant()
        """The grant of this replica. How large it is, and when it is written, is decided here."""
        self._others: dict[LimitKey, Amount] = {}
        self._flows: dict[tuple[LimitKey, ...], _Flow] = {}
        self._offered: dict[tuple[LimitKey, ...], int] = {}
        self._to_recall: dict[LimitKey, None] = {}
        self._recalled_since: dict[str, float] = {}
        self._expired: dict[str, Mapping[str, int]] = {}
        self._older_at: float | None = None
        self._countings = self._taken_under = self._written_under = 0  # how often usage was counted anew until then
        self.is_low = False
        """Whether a flow has used half of its grant."""

    # Deciding in memory.

    @property
    def is_open(self) -> bool:
        """Whether this replica may allow anything in its memory now."""
        return self._is_on and self._taken_under == self._countings and self.own.is_open(self._now())

    def may_allow(self, demand: Demand) -> bool:
        """Whether a create with *demand* fits into the grant, or nothing limits it. Call it when the grant is open."""
        return self.own.has_room_for(demand)

    def allow(self, reservation: Reservation, demand: Demand) -> None:
        """Charge the create of *reservation* to the grant. The caller has it counted by the usage index."""
        self.own.charge(reservation, demand, since=self._api_time())
        flow = self._note(demand)
        if flow is None or flow.granted < _WORTH_RENEWING:
            return
        half = flow.granted // 2
        self.is_low = self.is_low or any(self.own.left_of(key) < amount * half for key, amount, _ in demand.under)

    def asked(self, decision: Decision) -> None:
        """Record that *decision* was made on the ledger: the next request like it may find a grant."""
        if self._is_on and isinstance(decision, Allowed) and decision.demand is not None:
            self._note(decision.demand)

    def _note(self, demand: Demand) -> _Flow | None:
        if not demand.under:
            return None
        now, keys = self._now().since_boot, demand.keys
        flow = self._flows.pop(keys, None)
        if flow is None or now - flow.used_at > VALID_FOR:
            flow = _Flow(demand, now)
        else:
            flow.demand, flow.used_at = demand, now
            flow.asked += 1
            flow.since_swap += 1
        self._flows[keys] = flow
        if len(self._flows) > _MOST_FLOWS:
            del self._flows[next(iter(self._flows))]
        return flow

    # The grants of others.

    def counted_in(self, view: UsageView) -> UsageView:
        """Return *view* with what others were granted on top; the same if that is nothing."""
        return _BesideGrants(view, self._others) if self._others else view

    def recall(self, keys: Iterable[LimitKey], ledger: Ledger) -> None:
        """Have the next swap tell others to give back what they were granted of *keys*, unless *ledger* does so."""
        known = {key for each in ledger.recalls.values() for key in each}
        self._to_recall.update(dict.fromkeys(key for key in keys if key in self._others and key not in known))

    @property
    def has_recalls(self) -> bool:
        """Whether a swap has a recall to write."""
        return bool(self._to_recall)

    def undo(self) -> None:
        """Forget recalls that are not written: the swap was lost, or not tried."""
        self._to_recall.clear()

    def expirable(self, ledger: Ledger, waited: Mapping[str, int], *, after_ms: float) -> tuple[str, ...]:
        """
        Return the tokens of others' grants that were not written anew for *after_ms*: nothing can be stored any more
        that was allowed under them. Without those under which there may be what this replica does not watch.
        """
        return tuple(
            token
            for token, each in self._others_in(ledger)
            if waited.get(token, 0) >= after_ms and set(each.resources) <= set(self._resources)
        )

    def expire(self, token: str, newest: Mapping[str, int]) -> None:
        """
        Have the next swap take out the grant *token*, if the ledger still has exactly this one.

        *newest* are the versions of the newest object of each resource, read after it was too old: whoever decides from
        then on has to have seen them.
        """
        self._expired[token] = newest

    def _others_in(self, ledger: Ledger) -> Iterator[tuple[str, Grant]]:
        return ((token, each) for token, each in ledger.grants.items() if each.holder != self._holder)

    # Events.

    def take_in(self, ledger: Ledger) -> None:
        """Record that *ledger* is the present version."""
        others: Counter[LimitKey] = Counter()
        for _, each in self._others_in(ledger):
            others.update(each.room)
        self._others = dict(others)
        self.own.shown(token for token, each in ledger.grants.items() if each.holder == self._holder)
        self._to_recall.clear()
        self._expired = {token: newest for token, newest in self._expired.items() if token in ledger.grants}
        now = self._api_time()
        self._recalled_since = {token: self._recalled_since.get(token, now) for token in ledger.recalls}

    def counted_anew(self) -> None:
        """Record that usage is counted for other keys or in other amounts: what was taken before is given back."""
        self._countings += 1
        self._flows.clear()

    def older_replica(self) -> None:
        """Record a swap by a replica that does not read grants."""
        self._older_at = self._now().since_boot

    def stop(self) -> None:
        """Take no grant any more, and give back what there is: the process ends."""
        self._is_on = False

    def old(self, seconds: float) -> tuple[Charged, ...]:
        """Return what was allowed in memory so many *seconds* ago, and nothing else stands for."""
        before = self._api_time() - seconds
        return tuple(each for each in self.own.kept() if each.since <= before)

    # Swaps.

    def gives_back(self, ledger: Ledger) -> bool:
        """Whether the own grant has to go with the next swap; what is in flight under it is written down by name."""
        return self._taken_under != self._countings or not self._is_on or self.is_recalled(ledger)

    def is_recalled(self, ledger: Ledger) -> bool:
        """Whether somebody wants back what the own grant in *ledger* has."""
        recalled = self._recalled(ledger)
        return any(key in recalled for each in self._own_in(ledger) for key in each.room)

    def is_due(self, ledger: Ledger) -> bool:
        """Whether a swap is to be made for the sake of grants alone."""
        if self._expired or any(map(self._is_over, ledger.recalls)):
            return True
        if not any(True for _ in self._own_in(ledger)):
            # What nothing limited is in no grant, and may be limited from now on.
            return self._taken_under != self._countings and bool(self.own.kept())
        return self.is_low or self.gives_back(ledger) or self.own.age(self._now()) >= _RENEWED_AFTER

    def following(
        self, ledger: Ledger, counted: Callable[[LimitKey], Amount], *, may_take: bool, has_new: bool
    ) -> Ledger:
        """
        Return *ledger* with what the next swap writes of grants.

        *counted* returns what is used and held of a limit key, with what this swap holds. Unless it *may_take*, which
        is a decision as any other, what is left of the grant stays as it is; but not if the swap *has_new*
        reservations, which were decided without counting it.
        """
        now = self._now()
        self._written_under = self._countings
        recalls = {token: keys for token, keys in ledger.recalls.items() if not self._is_over(token)}
        if self._to_recall:
            recalls[self._new_token()] = tuple(self._to_recall)
        ledger = replace(ledger, recalls=recalls)
        spare, hards = self._spare(ledger, counted, now, may_take=may_take, has_new=has_new)
        token = self._new_token()
        renewed = self.own.begin(token, spare, hards, now=now)
        grants = {each: grant for each, grant in self._others_in(ledger) if each not in self._expired}
        if renewed.room:
            grants[token] = Grant(self._holder, tuple(self._resources), renewed.room)
        newest = [versions for each, versions in self._expired.items() if each in ledger.grants]
        gone = chain.from_iterable(map(SettledVersion._make, each.items()) for each in newest)
        return replace(ledger, grants=grants).settled(*renewed.left, *gone)

    def landed(self) -> None:
        """Record that a swap is stored, if it is one which `following` was called for."""
        if not self.own.landed():
            return
        self._taken_under = self._written_under
        self.is_low = False
        for keys, flow in self._flows.items():
            flow.swaps += 1
            flow.granted, flow.since_swap = self._offered.get(keys, 0), 0

    def _spare(
        self, ledger: Ledger, counted: Callable[[LimitKey], Amount], now: Moment, *, may_take: bool, has_new: bool
    ) -> tuple[Room, Hards]:
        """Return what the grant has beside what is in flight under it, and the limits of its keys."""
        self._offered = {}
        if self.gives_back(ledger):
            self._flows.clear()
            return {}, {}
        if not may_take:
            stays = self.own.is_open(now) and not has_new
            return self.own.left() if stays else {}, self.own.hards
        if self._older_at is not None and now.since_boot - self._older_at < _OLDER_FOR:
            return {}, {}
        return self._shares(ledger, counted, now)

    def _shares(
        self, ledger: Ledger, counted: Callable[[LimitKey], Amount], now: Moment
    ) -> tuple[dict[LimitKey, Amount], dict[LimitKey, Amount]]:
        """Return room for more requests of each flow: all keys of one, or none."""
        recalled = self._recalled(ledger)
        spare: dict[LimitKey, Amount] = {}
        hards: dict[LimitKey, Amount] = {}
        idle = [keys for keys, flow in self._flows.items() if now.since_boot - flow.used_at >= _RENEWED_AFTER]
        for keys in idle:
            del self._flows[keys]
        for keys, flow in self._flows.items():
            if not flow.recurs or not recalled.isdisjoint(keys):
                continue
            if flow.granted and flow.since_swap * 2 >= flow.granted:
                flow.requests = min(flow.requests * 2, _MOST_REQUESTS)
            room, demand = flow.requests, flow.demand
            for key, amount, hard in demand.under:
                free = hard - counted(key) - self._others.get(key, 0) - spare.get(key, 0)
                room = min(room, int(free // (amount * _SHARE)))
            if room <= 0 or any(hards.get(key, hard) != hard for key, _, hard in demand.under):
                continue
            self._offered[keys] = room
            for key, amount, hard in demand.under:
                hards[key] = hard
                spare[key] = spare.get(key, 0) + amount * room
        return spare, hards

    def _recalled(self, ledger: Ledger) -> frozenset[LimitKey]:
        """Return what is recalled after the next swap, by this replica as well."""
        stays = (keys for token, keys in ledger.recalls.items() if not self._is_over(token))
        return frozenset(self._to_recall).union(*stays)

    def _is_over(self, token: str) -> bool:
        since = self._recalled_since.get(token)
        return since is not None and self._api_time() - since >= _RECALLED_FOR

    def _own_in(self, ledger: Ledger) -> Iterator[Grant]:
        return (each for each in ledger.grants.values() if each.holder == self._holder)


class _BesideGrants:
    """Port `UsageView`: what another view shows, and in `reserved` what others were granted."""

    def __init__(self, view: UsageView, granted: Room) -> None:
        self._view = view
        self._granted = granted

    def used(self, subject: Subject, name: str) -> Amount:
        return self._view.used(subject, name)

    def reserved(self, subject: Subject, name: str) -> Amount:
        return self._view.reserved(subject, name) + self._granted.get(LimitKey(subject, name), 0)

    def allocated(self, subject: Subject, name: str) -> Amount:
        return self._view.allocated(subject, name) + self._granted.get(LimitKey(subject, name), 0)

    def held(self, key: ObjectKey, subject: Subject, name: str) -> Amount:
        return self._view.held(key, subject, name)

    def held_for_pods(self, pod_sets: Iterable[PodSet], subject: Subject, name: str) -> Amount:
        return self._view.held_for_pods(pod_sets, subject, name)

    def held_for_all_pods(self, subject: Subject, name: str) -> HeldForPods:
        return self._view.held_for_all_pods(subject, name)

    def subjects(self) -> Iterator[Subject]:
        return self._view.subjects()

    def promise(self, in_force: InForce) -> None:
        self._view.promise(in_force)

    def set_aside(self, pool: Subject, name: str) -> Amount:
        return self._view.set_aside(pool, name)

    def promised(self, pool: Subject, name: str) -> Amount:
        return self._view.promised(pool, name)

    def of_holders(self, pool: Subject, name: str) -> Amount:
        return self._view.of_holders(pool, name)
