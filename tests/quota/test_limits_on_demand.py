"""Limits on what somebody uses beyond commitments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypeAlias, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.quota.test_commitments import (
    ADS,
    GPUS,
    H100,
    LABELS,
    NOW,
    RESEARCH,
    SECOND,
    WHOLE,
    ZONED,
    Cluster,
    Nodes,
    commitment,
    left,
    policy_of,
)
from webhook.quota.commitments import Commitment, Pool, State, beyond_commitments
from webhook.quota.decision import Allowed, Decision, Denied, Excess
from webhook.quota.fitting import Copies, Part, fit
from webhook.quota.objects import ObjectKey
from webhook.quota.policy import Defaults, Entry, Group, Mode, Policy
from webhook.quota.reservation import Charge, Prior
from webhook.quota.scopes import Scopes
from webhook.quota.subject import Account, Payer, Subject, group, namespace, scoped, tenant, user

MANY = Nodes({ZONED[0]: 1000, ZONED[1]: 1000, WHOLE: 1000})
IN_A, IN_B, ANYWHERE = (H100, "Zone=a"), (H100, "Zone=b"), (H100, "Zone")
SELECTOR = beyond_commitments("h100")


def limited(path: str, amounts: Mapping[str, int], mode: Mode = Mode.ENFORCE) -> Entry:
    return Entry(path, scoped=(Entry(f"{path}.scoped[0]", hard=amounts, mode=mode, selector=SELECTOR),))


def with_limits(policy: Policy, limits: Mapping[Subject, int]) -> Policy:
    """Return *policy* with so many GPUs on demand for each of its holders."""
    tenants, groups, users, namespaces = dict(policy.tenants), dict(policy.groups), dict(policy.users), {}
    for whom, gpus in limits.items():
        kind, _, name = whom.partition("/")
        entry = limited(f"{kind}s.{name}", {GPUS: gpus})
        match kind:
            case "tenant":
                tenants[name] = replace(tenants[name], entry=entry)
            case "group":
                groups[name] = Group(pool=entry, members=groups[name].members)
            case "user":
                users[name] = entry
            case _:
                namespaces[name] = entry
    return replace(policy, tenants=tenants, groups=groups, users=users, namespaces=namespaces)


def with_entry(policy: Policy, entry: Entry) -> Policy:
    """Return *policy* with another entry of the tenant research."""
    return replace(policy, tenants={**policy.tenants, "research": replace(policy.tenants["research"], entry=entry)})


def cluster_of(limits: Mapping[Subject, int], *commitments: Commitment, nodes: Nodes = MANY) -> Cluster:
    return Cluster(with_limits(policy_of(*commitments), limits), nodes)


def on_demand(cluster: Cluster, whom: Subject, name: str = GPUS) -> int:
    """Return what the usage index counts on demand, with what is promised now."""
    cluster.index.promise(cluster.policy.promised(cluster.now))
    return int(cluster.index.allocated(scoped(whom, SELECTOR), name))


def excess_of(decision: Decision) -> Excess:
    assert isinstance(decision, Denied), decision
    [excess] = decision.excesses
    return excess


def test_what_a_commitment_covers_does_not_count_and_the_rest_does() -> None:
    cluster = cluster_of({RESEARCH: 4}, commitment("c", RESEARCH, 8))
    assert isinstance(cluster.ask("a", 8), Allowed)
    assert on_demand(cluster, RESEARCH) == 0
    assert isinstance(cluster.ask("b", 3), Allowed)
    assert on_demand(cluster, RESEARCH) == 3

    refused = excess_of(cluster.ask("c", 2))
    assert (refused.rule.entry, refused.rule.hard) == ("tenants.research.scoped[0]", 4)
    assert (refused.used, refused.reserved, refused.free, refused.fits) == (0, 3, 1, 1)
    assert left(refused) == (0, 3, 4, 8, 8)
    assert isinstance(cluster.ask("c", 1), Allowed)


def test_a_pod_is_covered_in_part() -> None:
    cluster = cluster_of({RESEARCH: 4}, commitment("c", RESEARCH, 8))
    assert excess_of(cluster.ask("a", 13)).fits == 12
    assert isinstance(cluster.ask("a", 12), Allowed)
    assert on_demand(cluster, RESEARCH) == 4


def test_what_was_promised_fits_though_the_limit_is_exceeded() -> None:
    """As after a lower limit, or in a class where pods in no zone are on demand."""
    cluster = cluster_of({RESEARCH: 0}, commitment("c", RESEARCH, 8, pool=ZONED[0]))
    cluster.store("old", 3, scopes=ANYWHERE)
    assert on_demand(cluster, RESEARCH) == 3
    assert isinstance(cluster.ask("a", 8, scopes=IN_A), Allowed)
    assert excess_of(cluster.ask("b", 1, scopes=IN_A)).fits == 0


def test_of_several_zones_what_is_covered_is_told_zone_by_zone() -> None:
    cluster = cluster_of(
        {RESEARCH: 4}, commitment("c", RESEARCH, 8, pool=ZONED[0]), commitment("d", RESEARCH, 2, pool=ZONED[1])
    )
    assert isinstance(cluster.ask("b", 5, scopes=IN_B), Allowed)
    assert isinstance(cluster.ask("a", 9, scopes=IN_A), Allowed)
    assert on_demand(cluster, RESEARCH) == 3 + 1
    for scopes in (IN_A, IN_B, ANYWHERE):
        assert excess_of(cluster.ask("c", 1, scopes=scopes)).fits == 0


@pytest.mark.parametrize("whom", [user("alice"), namespace("red"), group("ml"), RESEARCH])
def test_who_was_promised_nothing_uses_all_on_demand(whom: Subject) -> None:
    for commitments in ((), (commitment("theirs", ADS, 1),)):
        cluster = cluster_of({whom: 4}, *commitments)
        assert isinstance(cluster.ask("a", 4), Allowed)
        refused = excess_of(cluster.ask("b", 1))
        assert (refused.rule.subject, refused.fits) == (f"[NodeClass In (h100), on demand] {whom}", 0)
        assert isinstance(cluster.ask("cpu", 9, scopes=("NodeClass=a100", "Zone")), Allowed)


@pytest.mark.parametrize("whom", [user("alice"), namespace("red"), group("ml"), RESEARCH])
def test_each_holder_may_have_such_a_limit(whom: Subject) -> None:
    cluster = cluster_of({whom: 4}, commitment("c", whom, 8))
    assert isinstance(cluster.ask("a", 12), Allowed)
    assert excess_of(cluster.ask("b", 1)).fits == 0


def test_what_counts_for_another_holder_is_limited_by_that_one_alone() -> None:
    """A pod counts for one holder, the nearest: so nothing that was promised is refused by a limit of somebody else."""
    alice = user("alice")
    cluster = cluster_of({RESEARCH: 1, alice: 2}, commitment("hers", alice, 4), commitment("c", RESEARCH, 8))
    assert isinstance(cluster.ask("a", 6), Allowed)
    assert (on_demand(cluster, alice), on_demand(cluster, RESEARCH)) == (2, 0)
    assert excess_of(cluster.ask("b", 1)).rule.entry == "users.alice.scoped[0]"
    assert isinstance(cluster.ask("c", 9, who="carol"), Allowed)
    assert excess_of(cluster.ask("d", 1, who="carol")).rule.entry == "tenants.research.scoped[0]"


def test_each_resource_is_judged_by_itself_so_that_memory_lets_no_gpu_through() -> None:
    memory = "requests.memory"
    policy = policy_of(Commitment("c", RESEARCH, WHOLE, {memory: 100}))
    cluster = Cluster(with_entry(policy, limited("tenants.research", {GPUS: 1, memory: 0})), MANY)

    def asked(gpus: int, amount: int) -> Decision:
        key, amounts = ObjectKey("pods", "red", "a"), ((GPUS, gpus), (memory, amount))
        return cluster.judge(Charge(key, "u", 0, Payer("alice"), amounts, scopes=ANYWHERE))

    assert excess_of(asked(2, 50)).rule.resource == GPUS
    decision = asked(1, 101)
    assert isinstance(decision, Denied)
    assert memory in {each.rule.resource for each in decision.excesses}


def test_an_end_puts_on_demand_what_was_covered_and_a_beginning_covers() -> None:
    ends, begins = NOW + SECOND, NOW + 2 * SECOND
    cluster = cluster_of(
        {RESEARCH: 4}, commitment("c", RESEARCH, 8, ends=ends), commitment("d", RESEARCH, 8, begins=begins)
    )
    cluster.store("a", 8)
    cluster.store("b", 1)
    told = []
    for _ in range(3):
        told.append((on_demand(cluster, RESEARCH), isinstance(cluster.ask("c", 1, uid="c"), Allowed)))
        cluster.index.drop(*cluster.index.pending(ObjectKey("pods", "red", "c")))
        cluster.now += SECOND
    assert told == [(1, True), (9, False), (1, True)]


def test_what_is_guaranteed_for_later_covers_nothing_yet() -> None:
    later = commitment("c", RESEARCH, 8, state=State.GUARANTEED, begins=NOW + SECOND)
    cluster = cluster_of({RESEARCH: 4}, later)
    assert isinstance(cluster.ask("a", 4), Allowed)
    assert excess_of(cluster.ask("b", 1)).fits == 0


def test_an_update_is_compared_by_what_it_adds() -> None:
    cluster = cluster_of({RESEARCH: 4}, commitment("c", RESEARCH, 8))
    cluster.store("a", 10)
    key, payer = ObjectKey("pods", "red", "a"), Payer("alice")
    prior = Prior(payer, frozenset(cluster.index.subjects_of(Account(payer, ANYWHERE), "red")), ((GPUS, 10),))

    def resized(gpus: int) -> Decision:
        return cluster.judge(Charge(key, "uid of a", 1, payer, ((GPUS, gpus),), scopes=ANYWHERE, prior=prior))

    assert isinstance(resized(12), Allowed)
    refused = excess_of(resized(13))
    assert (refused.requested, refused.had, refused.fits, refused.free) == (3, 10, 12, 2)
    assert isinstance(resized(3), Allowed)


def test_waiting_helps_unless_a_pod_is_larger_than_both_together() -> None:
    cluster = cluster_of({RESEARCH: 4}, commitment("c", RESEARCH, 8))
    assert isinstance(cluster.ask("a", 12), Allowed)
    assert not excess_of(cluster.ask("b", 12)).never_fits
    assert excess_of(cluster.ask("b", 13)).never_fits


def test_a_limit_on_trial_refuses_nothing() -> None:
    entry = limited("tenants.research", {GPUS: 0}, Mode.AUDIT)
    decision = Cluster(with_entry(policy_of(commitment("c", RESEARCH, 8)), entry), MANY).ask("a", 9)
    assert isinstance(decision, Allowed)
    assert [each.rule.entry for each in decision.tolerated] == ["tenants.research.scoped[0]"]


def test_a_default_of_people_is_replaced_by_an_entry_of_ones_own() -> None:
    policy = with_limits(policy_of(commitment("c", ADS, 1)), {user("alice"): 2})
    cluster = Cluster(replace(policy, defaults=Defaults(user=limited("defaults.user", {GPUS: 1}))), MANY)
    assert isinstance(cluster.ask("a", 2), Allowed)
    assert excess_of(cluster.ask("b", 2, who="carol", where="grey")).rule.entry == "defaults.user.scoped[0]"


def test_how_many_copies_of_a_workload_fit() -> None:
    cluster = cluster_of({RESEARCH: 4}, commitment("c", RESEARCH, 8))
    cluster.store("w-1", 3)
    cluster.store("other", 2)
    payer = Payer("alice")
    part = Part(((GPUS, 3),), None, cluster.limits(Account(payer, ANYWHERE), "red"))
    fitting = fit(Copies(5, (part,), (ObjectKey("pods", "red", "w-1"),)), cluster.index)
    assert fitting.fits == 3  # 10 of the 12 that are not of the other one
    assert fitting.binding is not None
    assert (fitting.binding.requested, fitting.binding.fits, left(fitting.binding)) == (12, 10, (0, 0, 4, 8, 5))
    assert fit(Copies(3, (part,), (ObjectKey("pods", "red", "w-1"),)), cluster.index).excesses == ()


def test_an_edit_below_what_is_used_on_demand_is_told() -> None:
    promised = commitment("c", RESEARCH, 8)
    cluster = cluster_of({RESEARCH: 4}, promised)
    cluster.store("a", 11)
    assert not cluster.effect(with_limits(policy_of(promised), {RESEARCH: 3})).is_refused
    lower = cluster.effect(with_limits(policy_of(promised), {RESEARCH: 2}))
    assert lower.is_refused
    smaller = cluster.effect(with_limits(policy_of(replace(promised, amounts={GPUS: 6})), {RESEARCH: 4}))
    assert smaller.is_refused  # what it does not cover any more is on demand


def test_where_a_limit_is_new_what_runs_counts_at_once() -> None:
    promised = commitment("c", RESEARCH, 8)
    cluster = Cluster(policy_of(promised), MANY)
    cluster.store("a", 10)
    assert isinstance(cluster.ask("b", 1), Allowed)
    cluster.edit(with_limits(policy_of(promised), {RESEARCH: 4}))
    assert excess_of(cluster.ask("c", 2)).fits == 1
    cluster.edit(policy_of(promised))
    assert isinstance(cluster.ask("d", 9), Allowed)


# An accounting of its own: what every pod counts for, pod by pod.

Pods = Mapping[tuple[str, str], tuple[int, str, Scopes]]

Promised: TypeAlias = tuple[Subject, int, datetime | None, Pool]
"""To whom, how many GPUs, from when, and where."""

_HOLDERS = [user("alice"), user("bob"), namespace("red"), namespace("blue"), group("ml"), RESEARCH, ADS]


def holders_of(where: str, who: str) -> list[Subject]:
    """The nearest first."""
    teams = [tenant(team) for team in LABELS[where].values()]
    return [user(who), namespace(where), *([group("ml")] if who == "alice" else []), *teams]


def pool_of(policy: Policy, scopes: Scopes) -> Pool:
    is_zoned = any(each.pool.zone for each in policy.commitments.every)
    zone = next(each.partition("=")[2] for each in scopes if each.startswith("Zone"))
    return Pool("h100", zone if is_zoned else "")


def used_on_demand(cluster: Cluster, running: Pods, whom: Subject) -> int:
    every = cluster.policy.commitments.every
    total, of_pools = 0, dict[Pool, int]()
    for (where, _), (gpus, who, scopes) in running.items():
        pool, subjects = pool_of(cluster.policy, scopes), holders_of(where, who)
        holders = {each.holder for each in every if each.pool == pool}
        nearest = next((each for each in subjects if each in holders), None)
        if nearest is None and whom in subjects:
            total += gpus
        elif nearest == whom:
            of_pools[pool] = of_pools.get(pool, 0) + gpus
    for pool, used in of_pools.items():
        covered = (e.amounts[GPUS] for e in every if (e.holder, e.pool) == (whom, pool) and e.covers(cluster.now))
        total += max(used - int(sum(covered)), 0)
    return total


asked = st.tuples(
    st.sampled_from("abcdefgh"),
    st.integers(1, 6),
    st.sampled_from(["alice", "bob"]),
    st.sampled_from(["red", "blue"]),
    st.sampled_from([IN_A, IN_B, ANYWHERE]),
)
promised_amounts = st.tuples(
    st.sampled_from(_HOLDERS), st.integers(1, 8), st.sampled_from([None, NOW, NOW + 3 * SECOND]), st.sampled_from(ZONED)
)


def policy_with(promises: Sequence[Promised], limits: Mapping[Subject, int], *, is_zoned: bool) -> Policy:
    made = []
    for at, (whom, gpus, begins, pool) in enumerate(promises):
        state = State.GUARANTEED if begins is not None and begins > NOW else State.CONFIRMED
        where = pool if is_zoned else WHOLE
        made.append(commitment(f"c-{at}", whom, gpus, begins=begins, pool=where, state=state))
    return with_limits(policy_of(*made), limits)


limits_drawn = st.dictionaries(st.sampled_from(_HOLDERS), st.integers(0, 6), max_size=4)
promises_drawn = st.lists(promised_amounts, max_size=5)
steps = st.one_of(
    st.tuples(st.just("ask"), asked),
    st.tuples(st.just("ask"), asked),
    st.tuples(st.just("delete"), asked),
    st.tuples(st.just("wait"), st.none()),
    st.tuples(st.just("edit"), st.tuples(promises_drawn, limits_drawn)),
)


@settings(max_examples=300)
@given(promises_drawn, limits_drawn, st.booleans(), st.lists(steps, max_size=30))
def test_decisions_and_sums_are_those_of_an_accounting_pod_by_pod(
    promises: Sequence[Promised],
    limits: Mapping[Subject, int],
    is_zoned: bool,
    story: list[tuple[str, object]],
) -> None:
    cluster = Cluster(policy_with(promises, limits, is_zoned=is_zoned), MANY)
    running: dict[tuple[str, str], tuple[int, str, Scopes]] = {}
    for what, told in story:
        if what == "wait":
            cluster.now += SECOND
        elif what == "edit":
            promises, limits = cast("tuple[Sequence[Promised], Mapping[Subject, int]]", told)
            cluster.edit(policy_with(promises, limits, is_zoned=is_zoned))
        else:
            name, gpus, who, where, scopes = cast("tuple[str, int, str, str, Scopes]", told)
            if what == "delete":
                cluster.delete(name, where=where)
                running.pop((where, name), None)
            elif (where, name) not in running:
                with_it = {**running, (where, name): (gpus, who, scopes)}
                exceeded = {
                    whom
                    for whom, hard in limits.items()
                    if (will := used_on_demand(cluster, with_it, whom)) > hard
                    and will > used_on_demand(cluster, running, whom)
                }
                decision = cluster.ask(name, gpus, who=who, where=where, scopes=scopes)
                found = decision.excesses if isinstance(decision, Denied) else ()
                assert {each.rule.subject for each in found} == {scoped(each, SELECTOR) for each in exceeded}
                for each in found:
                    check_fits(cluster, running, (where, name), (who, scopes), each)
                if isinstance(decision, Allowed):
                    cluster.store(name, gpus, who=who, where=where, scopes=scopes)
                    running = with_it
        for whom in limits:
            assert on_demand(cluster, whom) == used_on_demand(cluster, running, whom)


def check_fits(cluster: Cluster, running: Pods, key: tuple[str, str], of: tuple[str, Scopes], excess: Excess) -> None:
    """One of `fits` keeps the limit, or adds nothing on demand; one more does neither."""
    [whom] = [each for each in _HOLDERS if scoped(each, SELECTOR) == excess.rule.subject]
    most, before = int(excess.fits), used_on_demand(cluster, running, whom)
    for gpus, is_kept in ((most, True), (most + 1, False)):
        after = used_on_demand(cluster, {**running, key: (gpus, *of)}, whom)
        assert (after <= max(excess.rule.hard, before)) == is_kept
