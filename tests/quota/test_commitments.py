"""What was promised of pools of nodes: states by the clock, who is covered, and what is left on demand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, TypeAlias, cast

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.calls import counted_calls
from webhook.documents.step_by_step import at_once
from webhook.quota.capacity import NodeFacts
from webhook.quota.commitments import FINAL, FOLLOWING, Commitment, Commitments, Pool, State
from webhook.quota.decision import Allowed, Decision, Denied, Excess, decide
from webhook.quota.edits import Effect, Known, effect_of
from webhook.quota.fitting import Copies, Fitting, Part, fit, rooms
from webhook.quota.limits import LimitsInForce
from webhook.quota.node_classes import ZONE_LABEL, NodeClass, NodeClasses
from webhook.quota.objects import ObjectKey
from webhook.quota.policy import Entry as PolicyEntry
from webhook.quota.policy import Group, Policy, Tenant, accounts_under
from webhook.quota.pool_limits import limits_in_force
from webhook.quota.reservation import Charge, Prior
from webhook.quota.resources import Amount
from webhook.quota.scopes import Scopes
from webhook.quota.subject import Account, Payer, Subject, group, namespace, tenant, user
from webhook.quota.usage import Row, UsageIndex

NOW = datetime(2026, 12, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
WHOLE = Pool("h100")
H100, A100 = "NodeClass=h100", "NodeClass=a100"
GPUS = "gpu"
LABELS = {"red": {"team": "research"}, "blue": {"team": "ads"}, "grey": {}}


def commitment(
    name: str,
    holder: Subject,
    gpus: int,
    *,
    pool: Pool = WHOLE,
    state: State = State.CONFIRMED,
    begins: datetime | None = None,
    ends: datetime | None = None,
) -> Commitment:
    return Commitment(name, holder, pool, {GPUS: gpus}, state, begins, ends)


def policy_of(*commitments: Commitment) -> Policy:
    classes = NodeClasses((NodeClass("h100", (("gpu", "h100"),)), NodeClass("a100", (("gpu", "a100"),))))
    return Policy(
        tenants={
            "research": Tenant((("team", "research"),), PolicyEntry("tenants.research")),
            "ads": Tenant((("team", "ads"),), PolicyEntry("tenants.ads")),
        },
        groups={"ml": Group(members=frozenset({"alice"}))},
        node_classes=classes,
        commitments=Commitments(commitments),
    )


@dataclass
class Nodes:
    """What nodes have, by pool."""

    gpus: Mapping[Pool, int]

    def of(self, pool: Pool) -> Mapping[str, Amount]:
        zones = [number for each, number in self.gpus.items() if each.node_class == pool.node_class]
        return {GPUS: self.gpus.get(pool, sum(zones))}


@dataclass
class Cluster:
    """A policy, what nodes have, and the pods that were admitted."""

    policy: Policy
    nodes: Nodes
    now: datetime = NOW
    index: UsageIndex = field(init=False)
    _versions: int = 0

    def __post_init__(self) -> None:
        self.index = UsageIndex(accounts_under(self.policy, LABELS.__getitem__), self.policy.devices)

    def edit(self, policy: Policy) -> None:
        self.policy = policy
        self.index.rebind(accounts_under(policy, LABELS.__getitem__), policy.devices)

    def effect(self, policy: Policy) -> Effect:
        """Return what it does to put *policy* in force: nothing is done."""
        nodes = tuple(
            NodeFacts({"gpu": pool.node_class, ZONE_LABEL: pool.zone}, ((GPUS, gpus),))
            for pool, gpus in self.nodes.gpus.items()
        )
        known = Known(self.index.holdings(), LABELS.__getitem__, self.now, lambda _: True, nodes)
        return at_once(effect_of(self.policy, policy, known))

    def judge(self, charge: Charge) -> Decision:
        place = charge.key.namespace
        return decide(charge, self.limits(Account(charge.payer, charge.scopes), place), self.index)

    def limits(self, account: Account, place: str) -> LimitsInForce:
        return limits_in_force(
            self.policy,
            account,
            namespace=place,
            labels=LABELS[place],
            now=self.now,
            capacity=self.nodes,
        )

    def ask(
        self,
        name: str,
        gpus: int,
        *,
        who: str = "alice",
        where: str = "red",
        scopes: Scopes = (H100, "Zone"),
        uid: str = "",
    ) -> Decision:
        """Create a pod; a pod that is allowed is reserved."""
        key = ObjectKey("pods", where, name)
        decision = self.judge(Charge(key, uid or f"uid of {name}", 0, Payer(who), ((GPUS, gpus),), scopes=scopes))
        if isinstance(decision, Allowed) and decision.reservation is not None:
            self.index.reserve(decision.reservation)
        return decision

    def store(
        self,
        name: str,
        gpus: int,
        *,
        who: str = "alice",
        where: str = "red",
        scopes: Scopes = (H100, "Zone"),
        uid: str = "",
    ) -> None:
        self._versions += 1
        self.index.observe(
            ObjectKey("pods", where, name),
            Row(uid or f"uid of {name}", self._versions, Payer(who), ((GPUS, gpus),), scopes),
        )

    def delete(self, name: str, *, where: str = "red") -> None:
        self._versions += 1
        self.index.forget(ObjectKey("pods", where, name), f"uid of {name}", self._versions)


def left(excess: Excess) -> tuple[Amount, ...]:
    """Return what is left of a pool, without when a promise ends."""
    assert excess.on_demand is not None
    return tuple(cast("tuple[Amount, ...]", excess.on_demand[:5]))


def excess_of(decision: Decision) -> Excess:
    assert isinstance(decision, Denied), decision
    assert len(decision.excesses) == 1
    return decision.excesses[0]


RESEARCH, ADS = tenant("research"), tenant("ads")


def test_what_was_promised_to_others_and_is_not_used_is_not_free() -> None:
    cluster = Cluster(policy_of(commitment("c", ADS, 6)), Nodes({Pool("h100"): 10}))

    assert isinstance(cluster.ask("a", 4), Allowed)
    refused = excess_of(cluster.ask("b", 1))
    assert isinstance(cluster.ask("theirs", 6, who="bob", where="blue"), Allowed)
    full = excess_of(cluster.ask("theirs-too", 1, who="bob", where="blue"))

    assert (refused.rule.entry, refused.rule.hard, refused.free, refused.fits) == ("nodeClasses.h100", 10, 0, 0)
    assert left(refused) == (6, 4, 4, 0, 0)
    assert left(full) == (0, 4, 4, 6, 6)


def test_a_holder_uses_more_than_was_promised_on_demand_as_others_do() -> None:
    cluster = Cluster(policy_of(commitment("c", RESEARCH, 2), commitment("d", ADS, 2)), Nodes({Pool("h100"): 10}))

    assert isinstance(cluster.ask("a", 8), Allowed)
    refused = excess_of(cluster.ask("b", 1))

    assert left(refused) == (2, 6, 6, 2, 2)
    assert isinstance(cluster.ask("theirs", 2, who="bob", where="blue"), Allowed)


@pytest.mark.parametrize("state", [State.PLANNED, State.PENDING, State.EXPIRED])
def test_who_waits_for_a_promise_is_covered_by_that_to_the_tenant(state: State) -> None:
    own = commitment("own", user("alice"), 4, state=state, begins=NOW + SECOND)
    cluster = Cluster(policy_of(own, commitment("of-all", RESEARCH, 4)), Nodes({WHOLE: 4}))

    assert isinstance(cluster.ask("a", 4), Allowed)
    assert isinstance(cluster.ask("b", 1, who="carol", where="grey"), Denied)


def test_two_commitments_of_one_holder_cover_a_pod_that_is_larger_than_each() -> None:
    cluster = Cluster(
        policy_of(commitment("c", RESEARCH, 2), commitment("d", RESEARCH, 2), commitment("e", ADS, 4)),
        Nodes({Pool("h100"): 8}),
    )

    assert isinstance(cluster.ask("a", 4), Allowed)
    assert left(excess_of(cluster.ask("b", 1))) == (4, 0, 0, 4, 4)


def test_a_new_commitment_covers_what_runs_already() -> None:
    cluster = Cluster(policy_of(commitment("d", ADS, 2)), Nodes({Pool("h100"): 8}))
    cluster.store("a", 4)
    assert left(excess_of(cluster.ask("b", 3))) == (2, 4, 6, 0, 0)

    cluster.edit(policy_of(commitment("c", RESEARCH, 4), commitment("d", ADS, 2)))
    assert isinstance(cluster.ask("b", 2), Allowed)
    assert left(excess_of(cluster.ask("c", 1))) == (2, 2, 2, 4, 4)


def test_what_was_promised_is_there_even_where_nodes_are_not_any_more() -> None:
    """What takes the place of what was promised is never refused: the sum does not grow by it."""
    nodes = Nodes({Pool("h100"): 10})
    cluster = Cluster(policy_of(commitment("c", ADS, 6)), nodes)
    assert isinstance(cluster.ask("a", 4), Allowed)
    nodes.gpus = {Pool("h100"): 3}

    assert isinstance(cluster.ask("b", 6, who="bob", where="blue"), Allowed)
    assert excess_of(cluster.ask("c", 1, who="bob", where="blue")).fits == 0


def test_resources_are_each_judged_by_themselves_so_that_memory_lets_no_gpu_through() -> None:
    promised = Commitment("c", RESEARCH, Pool("h100"), {GPUS: 1, "requests.memory": 100})
    cluster = Cluster(policy_of(promised), Nodes({Pool("h100"): 1}))
    key = ObjectKey("pods", "red", "a")
    asked = Charge(key, "u", 0, Payer("alice"), ((GPUS, 2), ("requests.memory", 50)), scopes=(H100, "Zone"))

    assert excess_of(cluster.judge(asked)).rule.resource == GPUS


def test_the_nearest_of_several_holders_covers_a_pod_and_the_others_keep_what_they_have() -> None:
    cluster = Cluster(
        policy_of(commitment("hers", user("alice"), 2), commitment("all", RESEARCH, 4)), Nodes({Pool("h100"): 6})
    )

    assert isinstance(cluster.ask("a", 2), Allowed)
    assert left(excess_of(cluster.ask("b", 1))) == (4, 0, 0, 2, 2)
    assert isinstance(cluster.ask("c", 4, who="carol"), Allowed)


@pytest.mark.parametrize("holder", [user("alice"), namespace("red"), group("ml"), RESEARCH])
def test_anybody_may_be_promised_something(holder: Subject) -> None:
    cluster = Cluster(policy_of(commitment("c", holder, 3)), Nodes({Pool("h100"): 3}))

    assert isinstance(cluster.ask("b", 1, who="bob", where="blue"), Denied)
    assert isinstance(cluster.ask("a", 3), Allowed)


ZONED = (Pool("h100", "a"), Pool("h100", "b"))


def test_zones_have_pools_of_their_own_and_a_pod_that_may_run_in_any_has_to_fit_beside_all() -> None:
    cluster = Cluster(policy_of(commitment("c", ADS, 4, pool=ZONED[0])), Nodes({ZONED[0]: 5, ZONED[1]: 2}))
    in_a, in_b, anywhere = (H100, "Zone=a"), (H100, "Zone=b"), (H100, "Zone")

    assert excess_of(cluster.ask("a", 2, scopes=in_a)).rule.entry == "nodeClasses.h100[a]"
    assert isinstance(cluster.ask("b", 2, scopes=in_b), Allowed)
    assert isinstance(cluster.ask("c", 1, scopes=anywhere), Allowed)
    assert excess_of(cluster.ask("d", 1, scopes=anywhere)).rule.entry == "nodeClasses.h100"
    assert isinstance(cluster.ask("e", 4, who="bob", where="blue", scopes=in_a), Allowed)
    refused = cluster.ask("f", 1, who="bob", where="blue", scopes=in_a)
    assert isinstance(refused, Denied)
    assert [each.rule.entry for each in refused.excesses] == ["nodeClasses.h100"]


def test_a_pod_that_may_run_on_two_classes_has_to_fit_in_both() -> None:
    cluster = Cluster(
        policy_of(commitment("c", ADS, 1), commitment("d", ADS, 1, pool=Pool("a100"))),
        Nodes({Pool("h100"): 3, Pool("a100"): 9}),
    )

    assert isinstance(cluster.ask("a", 2, scopes=(A100, H100, "Zone")), Allowed)
    assert excess_of(cluster.ask("b", 1, scopes=(A100, H100, "Zone"))).rule.entry == "nodeClasses.h100"
    assert isinstance(cluster.ask("c", 6, scopes=(A100, "Zone")), Allowed)


def test_where_nothing_was_promised_nothing_is_compared_with_nodes() -> None:
    cluster = Cluster(policy_of(commitment("c", ADS, 1, pool=Pool("a100"))), Nodes({}))

    assert isinstance(cluster.ask("a", 99), Allowed)
    assert isinstance(cluster.ask("b", 99, scopes=()), Allowed)
    assert isinstance(cluster.ask("c", 1, scopes=(A100, "Zone")), Denied)


def test_it_ends_at_the_very_second_and_what_runs_is_on_demand_from_then_on() -> None:
    cluster = Cluster(
        policy_of(commitment("c", ADS, 6, ends=NOW), commitment("d", RESEARCH, 1)), Nodes({Pool("h100"): 10})
    )
    cluster.now = NOW - SECOND
    assert isinstance(cluster.ask("a", 6, who="bob", where="blue"), Allowed)
    assert left(excess_of(cluster.ask("b", 5))) == (1, 0, 3, 1, 0)

    cluster.now = NOW
    assert left(excess_of(cluster.ask("b", 5))) == (1, 6, 9, 1, 0)
    assert isinstance(cluster.ask("b", 4), Allowed)


def test_it_is_told_when_the_first_promise_to_others_ends_of_which_a_part_is_not_used() -> None:
    used, soon, own = NOW + SECOND, NOW + 2 * SECOND, NOW + SECOND
    cluster = Cluster(
        policy_of(
            commitment("own", RESEARCH, 1, ends=own),
            commitment("used", ADS, 2, ends=used),
            commitment("soon", user("carol"), 2, ends=soon),
            commitment("later", user("dave"), 2),
        ),
        Nodes({Pool("h100"): 10}),
    )
    cluster.store("theirs", 2, who="bob", where="blue")

    def end(cluster: Cluster) -> datetime | None:
        told = excess_of(cluster.ask("b", 9)).on_demand
        assert told is not None
        return told.ends

    assert end(cluster) == soon
    cluster.delete("theirs", where="blue")
    assert end(cluster) == used
    cluster.now = soon
    assert end(cluster) is None


def test_what_is_guaranteed_is_set_aside_before_it_begins_and_covers_nobody_until_then() -> None:
    ahead = commitment("c", ADS, 6, state=State.GUARANTEED, begins=NOW)
    cluster = Cluster(policy_of(ahead), Nodes({Pool("h100"): 10}))
    cluster.now = NOW - SECOND
    assert isinstance(cluster.ask("a", 4), Allowed)
    assert left(excess_of(cluster.ask("b", 1, who="bob", where="blue"))) == (6, 4, 4, 0, 0)

    cluster.now = NOW
    assert isinstance(cluster.ask("b", 6, who="bob", where="blue"), Allowed)


@pytest.mark.parametrize("state", [State.PLANNED, State.PENDING, State.SUPERSEDED, State.EXPIRED])
def test_in_other_states_nothing_is_promised(state: State) -> None:
    cluster = Cluster(
        policy_of(commitment("c", ADS, 6, state=state), commitment("d", RESEARCH, 1)), Nodes({Pool("h100"): 10})
    )

    assert isinstance(cluster.ask("a", 10), Allowed)


def test_the_clock_tells_the_state() -> None:
    ending = commitment("c", ADS, 1, ends=NOW)

    assert ending.state_at(NOW - SECOND) is State.CONFIRMED
    assert ending.state_at(NOW) is State.EXPIRED
    assert commitment("c", ADS, 1, state=State.SUPERSEDED, ends=NOW).state_at(NOW) is State.SUPERSEDED
    for state, then in ((State.PLANNED, State.PENDING), (State.GUARANTEED, State.CONFIRMED)):
        later = commitment("c", ADS, 1, state=state, begins=NOW)
        assert (later.state_at(NOW - SECOND), later.state_at(NOW)) == (state, then)


def test_nothing_follows_a_final_state_and_every_other_may_end() -> None:
    assert all((FOLLOWING[state] == frozenset()) == (state in FINAL) for state in State)
    assert all(each >= FINAL for state, each in FOLLOWING.items() if state not in FINAL)


def test_of_a_workload_as_many_copies_fit_as_are_covered_and_free_on_demand() -> None:
    cluster = Cluster(policy_of(commitment("c", RESEARCH, 4), commitment("d", ADS, 3)), Nodes({WHOLE: 10}))
    cluster.store("a", 2)
    in_force = cluster.limits(Account(Payer("alice"), (H100, "Zone")), "red")

    def fits(number: int, *existing: str, gpus: int = 1) -> Fitting:
        keys = [ObjectKey("pods", "red", each) for each in existing]
        return fit(Copies(number, [Part(((GPUS, gpus),), None, in_force)], keys), cluster.index)

    assert fits(5) == Fitting(5, 5)  # 2 that are covered still, 3 on demand
    assert (fits(6).fits, fits(3, gpus=2).fits) == (5, 2)
    assert fits(7, "a").fits == 7
    assert fits(8, "a").fits == 7
    binding = fits(6).binding
    assert binding is not None
    assert left(binding) == (5, 0, 3, 4, 2)
    assert [each.copies for each in rooms(Copies(6, [Part(((GPUS, 1),), None, in_force)]), cluster.index)] == [5]


def test_an_update_counts_what_it_adds() -> None:
    cluster = Cluster(policy_of(commitment("c", ADS, 6)), Nodes({Pool("h100"): 10}))
    cluster.store("a", 3)
    charged = frozenset(cluster.index.subjects_of(Account(Payer("alice"), (H100, "Zone")), "red"))

    def grown(gpus: int, before: int = 3) -> Charge:
        prior = Prior(Payer("alice"), charged, ((GPUS, before),), (H100, "Zone"))
        key = ObjectKey("pods", "red", "a")
        return Charge(key, "uid of a", 1, Payer("alice"), ((GPUS, gpus),), prior, scopes=(H100, "Zone"))

    assert isinstance(cluster.judge(grown(4)), Allowed)
    assert (excess_of(cluster.judge(grown(5))).requested, excess_of(cluster.judge(grown(5))).fits) == (2, 4)
    assert isinstance(cluster.judge(grown(2)), Allowed)


def test_whoever_gets_a_name_that_two_ask_for_takes_nothing_that_was_promised() -> None:
    cluster = Cluster(policy_of(commitment("c", user("alice"), 2)), Nodes({WHOLE: 3}))

    assert isinstance(cluster.ask("job-0", 2, who="alice", uid="hers"), Allowed)
    refused = excess_of(cluster.ask("job-0", 2, who="zed", uid="his"))
    assert isinstance(cluster.ask("job-0", 1, who="zed", uid="his"), Allowed)
    excess_of(cluster.ask("other", 1, who="zed"))  # either of the two may be stored
    cluster.store("job-0", 1, who="zed", uid="his")
    cluster.index.drop(*cluster.index.reservations())  # hers can never be stored
    assert isinstance(cluster.ask("again", 2, who="alice"), Allowed)

    assert left(refused) == (0, 0, 1, 0, 0)
    assert refused.fits == 1


def test_a_name_asked_for_in_two_zones_may_be_stored_where_nothing_covers_it() -> None:
    zone, other = ZONED
    cluster = Cluster(policy_of(commitment("c", user("alice"), 2, pool=zone)), Nodes({zone: 2, other: 2}))

    assert isinstance(cluster.ask("a", 2, who="alice", uid="1", scopes=(H100, f"Zone={zone.zone}")), Allowed)
    assert isinstance(cluster.ask("a", 2, who="alice", uid="2", scopes=(H100, f"Zone={other.zone}")), Allowed)

    excess_of(cluster.ask("b", 1, who="zed"))


def test_what_was_covered_has_to_fit_when_somebody_else_pays_for_it() -> None:
    cluster = Cluster(policy_of(commitment("c", user("alice"), 2)), Nodes({WHOLE: 3}))
    cluster.store("a", 2, who="alice")
    charged = frozenset(cluster.index.subjects_of(Account(Payer("alice"), (H100, "Zone")), "red"))
    prior = Prior(Payer("alice"), charged, ((GPUS, 2),), (H100, "Zone"))
    key = ObjectKey("pods", "red", "a")

    taken_over = Charge(key, "uid of a", 1, Payer("zed"), ((GPUS, 2),), prior, scopes=(H100, "Zone"))

    assert excess_of(cluster.judge(taken_over)).requested == 2
    cluster.nodes = Nodes({WHOLE: 4})
    assert isinstance(cluster.judge(taken_over), Allowed)


def test_a_pod_that_is_given_its_zone_later_makes_room_where_it_was_on_demand() -> None:
    zone, other = ZONED
    cluster = Cluster(policy_of(commitment("c", user("alice"), 1, pool=zone)), Nodes({zone: 2, other: 2}))
    cluster.store("covered", 1, who="alice", scopes=(H100, f"Zone={zone.zone}"))
    cluster.store("gated", 1, who="alice")
    cluster.store("full", 2, who="zed", scopes=(H100, f"Zone={other.zone}"))
    charged = frozenset(cluster.index.subjects_of(Account(Payer("alice"), (H100, "Zone")), "red"))
    prior = Prior(Payer("alice"), charged, ((GPUS, 1),), (H100, "Zone"))
    key, placed = ObjectKey("pods", "red", "gated"), (H100, f"Zone={zone.zone}")

    assert isinstance(
        cluster.judge(Charge(key, "uid of gated", 2, Payer("alice"), ((GPUS, 1),), prior, scopes=placed)), Allowed
    )


# The law: however pods come and go, and promises move.

holders = st.sampled_from([user("alice"), user("bob"), RESEARCH, ADS, namespace("grey")])
pools = st.sampled_from([*ZONED, Pool("a100")])
states = st.sampled_from([State.CONFIRMED, State.CONFIRMED, State.GUARANTEED, State.PENDING])
times = st.sampled_from([None, NOW, NOW + SECOND, NOW + 2 * SECOND])
promises = st.lists(st.tuples(holders, st.integers(1, 5), pools, states, times, times), min_size=1, max_size=4)
pods = st.tuples(
    st.sampled_from("abcdef"),
    st.integers(1, 5),
    st.sampled_from(["alice", "bob", "carol"]),
    st.sampled_from(list(LABELS)),
    st.sampled_from([(H100, "Zone=a"), (H100, "Zone=b"), (H100, "Zone"), (A100, "Zone"), (A100, H100, "Zone=a")]),
)
steps = st.one_of(
    st.tuples(st.just("ask"), pods),
    st.tuples(st.just("delete"), pods),
    st.tuples(st.just("edit"), promises),
    st.tuples(st.just("later"), st.none()),
)


Promise: TypeAlias = tuple[Subject, int, Pool, State, datetime | None, datetime | None]


def made(listed: list[Promise]) -> Policy:
    return policy_of(
        *(
            commitment(f"c-{number}", holder, gpus, pool=pool, state=state, begins=begins, ends=ends)
            for number, (holder, gpus, pool, state, begins, ends) in enumerate(listed)
        )
    )


def taken(cluster: Cluster, pool: Pool, running: Mapping[tuple[str, str], tuple[int, str, Scopes]]) -> int:
    """Count anew what is taken of a pool: of each holder the larger of use and promise, and all else that is used."""
    promised: dict[tuple[Pool, Subject], int] = {}
    total = 0
    for each in cluster.policy.commitments.every:
        if pool in (each.pool, Pool(each.pool.node_class)):
            gpus = int(each.amounts[GPUS])
            if each.covers(cluster.now):
                promised[each.pool, each.holder] = promised.get((each.pool, each.holder), 0) + gpus
            elif each.sets_aside(cluster.now):
                total += gpus
    by_holder = dict.fromkeys(promised, 0)
    listed = {
        (each.pool, each.holder)
        for each in cluster.policy.commitments.every
        if each.state in (State.GUARANTEED, State.CONFIRMED)
    }
    for (where, _), (gpus, who, scopes) in running.items():
        zone = next((each.removeprefix("Zone=") for each in scopes if each.startswith("Zone=")), "")
        is_zoned = any(
            each.pool.zone for each in cluster.policy.commitments.every if each.pool.node_class == pool.node_class
        )
        own = Pool(pool.node_class, zone if is_zoned else "")
        if f"NodeClass={pool.node_class}" not in scopes or pool not in (own, Pool(pool.node_class)):
            continue
        near = cluster.policy.holders_of(Payer(who), where, LABELS[where])
        holder = next((each for each in near if (own, each) in listed), None)
        if holder is not None and (own, holder) in by_holder:
            by_holder[own, holder] += gpus
        else:
            total += gpus
    return total + sum(max(promised[key], by_holder[key]) for key in promised)


@settings(max_examples=300)
@given(promises, st.lists(steps, max_size=30))
def test_nothing_is_allowed_by_which_more_is_taken_than_there_is(
    begun: list[Promise], story: list[tuple[str, object]]
) -> None:
    cluster = Cluster(made(begun), Nodes({ZONED[0]: 8, ZONED[1]: 4, Pool("a100"): 6}))
    running: dict[tuple[str, str], tuple[int, str, Scopes]] = {}
    watched = [*ZONED, Pool("h100"), Pool("a100")]
    for what, told in story:
        if what == "edit":
            cluster.edit(made(cast("list[Promise]", told)))
            continue
        if what == "later":
            cluster.now += SECOND
            continue
        name, gpus, who, where, scopes = cast("tuple[str, int, str, str, Scopes]", told)
        if what == "delete":
            cluster.delete(name, where=where)
            running.pop((where, name), None)
            continue
        if (where, name) in running:
            continue
        before = {pool: taken(cluster, pool, running) for pool in watched}
        after = {pool: taken(cluster, pool, {**running, (where, name): (gpus, who, scopes)}) for pool in watched}
        decision = cluster.ask(name, gpus, who=who, where=where, scopes=scopes)
        compared = [pool for pool in watched if cluster.policy.commitments.resources_of(pool.node_class)]
        fits = all(
            after[pool] <= max(cluster.nodes.of(pool)[GPUS], before[pool])
            for pool in compared
            if f"NodeClass={pool.node_class}" in scopes
        )
        assert isinstance(decision, Allowed) == fits, (before, after)
        if fits:
            cluster.store(name, gpus, who=who, where=where, scopes=scopes)
            running[where, name] = (gpus, who, scopes)
        cluster.index.promise(cluster.policy.commitments.in_force(cluster.now))
        for pool in compared:
            used = cluster.index.allocated(pool.subject, GPUS)
            assert used + cluster.index.set_aside(pool.subject, GPUS) == taken(cluster, pool, running)


moves = st.tuples(st.just("move"), st.tuples(st.integers(0, 3), holders, st.integers(1, 5)))


@settings(max_examples=200)
@given(
    st.lists(st.tuples(holders, st.integers(1, 4), st.sampled_from(ZONED)), min_size=1, max_size=4),
    st.lists(st.one_of(moves, moves, st.tuples(st.just("ask"), pods), st.tuples(st.just("delete"), pods)), max_size=40),
)
def test_no_loop_of_moves_takes_more_than_there_is(
    begun: list[tuple[Subject, int, Pool]], story: list[tuple[str, object]]
) -> None:
    """A commitment is ended and made anew for somebody else, again and again, and everybody takes what they can get."""
    cluster = Cluster(policy_of(), Nodes({ZONED[0]: 8, ZONED[1]: 6}))
    first = policy_of(*(commitment(f"c-{at}", *each[:2], pool=each[2]) for at, each in enumerate(begun)))
    assume(not cluster.effect(first).is_refused)
    cluster.edit(first)
    running: dict[tuple[str, str], tuple[int, str, Scopes]] = {}
    for number, (what, told) in enumerate(story):
        if what == "move":
            which, holder, gpus = cast("tuple[int, Subject, int]", told)
            after = moved(cluster.policy, which, holder, gpus, name=f"moved-{number}")
            if not cluster.effect(after).is_refused:
                cluster.edit(after)
        else:
            name, gpus, who, where, scopes = cast("tuple[str, int, str, str, Scopes]", told)
            if what == "delete":
                cluster.delete(name, where=where)
                running.pop((where, name), None)
            elif (where, name) not in running and isinstance(
                cluster.ask(name, gpus, who=who, where=where, scopes=scopes), Allowed
            ):
                cluster.store(name, gpus, who=who, where=where, scopes=scopes)
                running[where, name] = (gpus, who, scopes)
        for pool in (*ZONED, WHOLE):
            assert taken(cluster, pool, running) <= cluster.nodes.of(pool)[GPUS], pool


def moved(policy: Policy, which: int, holder: Subject, gpus: int, *, name: str) -> Policy:
    """Return *policy* with one of its commitments in force superseded by one of another holder, or another size."""
    every = policy.commitments.every
    in_force = [each for each in every if each.state not in FINAL]
    one = in_force[which % len(in_force)]
    kept = [replace(each, state=State.SUPERSEDED) if each is one else each for each in every]
    return policy_of(*kept, commitment(name, holder, gpus, pool=one.pool))


@settings(max_examples=200)
@given(promises, st.lists(pods, max_size=20))
def test_two_halves_cover_what_the_whole_does(
    listed: list[Promise], asked: list[tuple[str, int, str, str, Scopes]]
) -> None:
    """There is no setting for it: what was promised to one holder in one pool always adds up."""
    nodes = Nodes({ZONED[0]: 8, ZONED[1]: 4, Pool("a100"): 6})
    doubled = [(holder, 2 * gpus, *others) for holder, gpus, *others in listed]
    whole = Cluster(made(cast("list[Promise]", doubled)), nodes)
    split = Cluster(made([half for each in listed for half in (each, each)]), nodes)

    for name, gpus, who, where, scopes in asked:
        assert split.ask(name, gpus, who=who, where=where, scopes=scopes) == whole.ask(
            name, gpus, who=who, where=where, scopes=scopes
        )


rivals = st.tuples(
    st.sampled_from("abc"),
    st.integers(1, 5),
    st.sampled_from(["alice", "bob", "carol"]),
    st.just("red"),
    st.sampled_from([(H100, "Zone=a"), (H100, "Zone=b"), (H100, "Zone")]),
)
"""Creates of few names by several people in one namespace."""
to_rivals = st.lists(
    st.tuples(
        st.sampled_from([user("alice"), user("bob")]),
        st.integers(2, 4),
        st.sampled_from(ZONED),
        st.just(State.CONFIRMED),
        st.none(),
        st.none(),
    ),
    min_size=1,
    max_size=2,
)


class _Asked(NamedTuple):
    """A create that was allowed."""

    name: str
    where: str
    gpus: int
    who: str
    scopes: Scopes
    uid: str


@settings(max_examples=500)
@given(to_rivals, st.lists(st.tuples(st.sampled_from(["ask", "ask", "store"]), rivals), min_size=5, max_size=30))
def test_whichever_of_what_was_allowed_is_stored_no_more_is_taken_than_there_is(
    promised: list[Promise], story: list[tuple[str, tuple[str, int, str, str, Scopes]]]
) -> None:
    cluster = Cluster(made(promised), Nodes({ZONED[0]: 8, ZONED[1]: 4}))
    running: dict[tuple[str, str], tuple[int, str, Scopes]] = {}
    in_flight: list[_Asked] = []
    watched = (*ZONED, WHOLE)
    for number, (what, (name, gpus, who, where, scopes)) in enumerate(story):
        if what == "ask":
            asked = _Asked(name, where, gpus, who, scopes, str(number))
            if (where, name) not in running and isinstance(
                cluster.ask(name, gpus, who=who, where=where, scopes=scopes, uid=asked.uid), Allowed
            ):
                in_flight.append(asked)
            continue
        if not in_flight:
            continue
        one = in_flight.pop((gpus * 7 + number) % len(in_flight))
        if (one.where, one.name) in running:
            continue  # AlreadyExists
        before = {pool: taken(cluster, pool, running) for pool in watched}
        cluster.store(one.name, one.gpus, who=one.who, where=one.where, scopes=one.scopes, uid=one.uid)
        running[one.where, one.name] = (one.gpus, one.who, one.scopes)
        for pool in watched:
            assert taken(cluster, pool, running) <= max(cluster.nodes.of(pool)[GPUS], before[pool])


# Work, counted and not timed.


def calls_of(work: Callable[[], object]) -> int:
    with counted_calls() as found:
        work()
    return found["call"] + found["c_call"]


def beside(number: int, *, of: Callable[[int], Commitment]) -> int:
    """Return how many functions a decision on a pod calls beside so many commitments to others."""
    cluster = Cluster(
        policy_of(commitment("own", RESEARCH, 2, pool=ZONED[0]), *map(of, range(number))), Nodes({ZONED[0]: 10**6})
    )
    scopes = (H100, "Zone=a")
    key = ObjectKey("pods", "red", "a")
    charge = Charge(key, "uid", 0, Payer("alice"), ((GPUS, 3),), scopes=scopes)
    cluster.judge(charge)  # counts once what is in force, until something begins, ends or is edited
    return calls_of(lambda: cluster.judge(charge))


@pytest.mark.parametrize(
    "of",
    [
        pytest.param(lambda at: commitment(f"c-{at}", user(f"u-{at}"), 1, pool=ZONED[0]), id="of other people"),
        pytest.param(lambda at: commitment(f"c-{at}", RESEARCH, 1, pool=ZONED[0]), id="of the same holder"),
        pytest.param(lambda at: commitment(f"c-{at}", ADS, 1, pool=Pool("h100", f"z-{at}")), id="of other zones"),
    ],
)
def test_a_decision_takes_as_many_steps_beside_ten_thousand_commitments(of: Callable[[int], Commitment]) -> None:
    assert beside(10_000, of=of) == beside(10, of=of)
