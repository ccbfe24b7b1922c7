"""Parts of a limit that are set aside for somebody inside."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.documents.policy_text import PolicyText, read_policy
from webhook.documents.step_by_step import at_once
from webhook.quota import edit_message
from webhook.quota.decision import Allowed, Decision, Denied, decide
from webhook.quota.edits import Effect, Known, effect_of
from webhook.quota.fitting import Copies, Part, fit
from webhook.quota.guarantees import held_by
from webhook.quota.limits import LimitsInForce
from webhook.quota.message import Context, sentence
from webhook.quota.objects import ObjectKey
from webhook.quota.policy import Policy, accounts_under
from webhook.quota.pool_limits import NoNodes, limits_in_force
from webhook.quota.quantity import NANOS
from webhook.quota.reservation import Charge
from webhook.quota.subject import Account, Payer, group, namespace, tenant, user
from webhook.quota.usage import Row, UsageIndex

NOW = datetime(2026, 12, 1, tzinfo=UTC)
LABELS = {"red": {"team": "research"}, "blue": {"team": "research"}, "green": {"team": "ads"}}
ALICES = "[{user: alice, hard: {gpu: 4}}]"


def text(guaranteed: str, *, hard: str = "{gpu: 10}", more: str = "", mode: str = "enforce") -> str:
    tenant = f"namespaces: {{matchLabels: {{team: research}}}}, hard: {hard}, guaranteed: {guaranteed}, mode: {mode}"
    return f"version: 1\ngroups: {{ml: {{members: [carol]}}}}\ntenants:\n  research: {{{tenant}}}\n{more}"


def policy(guaranteed: str, **others: str) -> Policy:
    reading = read_policy([PolicyText("p", text(guaranteed, **others))])
    assert reading.policy is not None, reading.mistakes
    return reading.policy


@dataclass
class Cluster:
    """A policy, and the pods that were admitted."""

    policy: Policy
    index: UsageIndex = field(init=False)
    _versions: int = 0

    def __post_init__(self) -> None:
        self.index = UsageIndex(accounts_under(self.policy, LABELS.__getitem__), self.policy.devices)

    def limits(self, who: str, where: str) -> LimitsInForce:
        return limits_in_force(
            self.policy, Account(Payer(who)), namespace=where, labels=LABELS[where], now=NOW, capacity=NoNodes()
        )

    def ask(self, who: str, gpus: int, where: str = "red", name: str = "") -> Decision:
        """Create a pod; a pod that is allowed is reserved."""
        self._versions += 1
        key = ObjectKey("pods", where, name or f"p{self._versions}")
        charge = Charge(key, f"u{self._versions}", 0, Payer(who), (("gpu", gpus * NANOS),))
        decision = decide(charge, self.limits(who, where), self.index)
        if isinstance(decision, Allowed) and decision.reservation is not None:
            self.index.reserve(decision.reservation)
        return decision

    def uses(self, who: str, gpus: int, where: str = "red") -> None:
        self._versions += 1
        row = Row(f"u{self._versions}", self._versions, Payer(who), (("gpu", gpus * NANOS),))
        self.index.observe(ObjectKey("pods", where, f"p{self._versions}"), row)

    def edit(self, after: Policy) -> Effect:
        known = Known(self.index.holdings(), LABELS.__getitem__, NOW, lambda _: True)
        return at_once(effect_of(self.policy, after, known))


def test_what_is_guaranteed_to_one_is_not_free_for_others_and_is_there_for_the_one() -> None:
    cluster = Cluster(policy(ALICES))
    assert isinstance(cluster.ask("bob", 6), Allowed)
    denied = cluster.ask("bob", 1)
    assert isinstance(denied, Denied)
    assert isinstance(cluster.ask("alice", 4, "blue"), Allowed)
    assert isinstance(cluster.ask("alice", 1), Denied)

    [excess] = denied.excesses
    assert (excess.fits, excess.free, excess.used + excess.reserved) == (0, 0, 6 * NANOS)
    assert sentence(denied.excesses, (), Context("bob", "who asked")) == (
        "exceeded quota: tenants.research, requested: gpu=1, used: gpu=0, limited: gpu=10, reserved: gpu=6, free: "
        "gpu=0 for tenant/research; would fit: gpu=0; tenants.research: gpu=4 guaranteed and not used, shared 6 of 6 "
        "taken; gpu=6 reserved for requests under way, free again in about 40 s if they fail; charged to bob (who "
        "asked)"
    )


def test_beyond_the_guarantee_its_holder_shares_what_is_left() -> None:
    cluster = Cluster(policy(ALICES))
    assert isinstance(cluster.ask("alice", 7), Allowed)
    assert isinstance(cluster.ask("bob", 4), Denied)
    assert isinstance(cluster.ask("bob", 3), Allowed)


def test_whoever_gets_a_name_that_two_ask_for_takes_nothing_that_is_guaranteed() -> None:
    cluster = Cluster(policy(ALICES))
    assert isinstance(cluster.ask("alice", 4, name="job-0"), Allowed)
    assert isinstance(cluster.ask("bob", 7, name="job-0"), Denied)
    assert isinstance(cluster.ask("bob", 6, name="job-0"), Allowed)
    assert isinstance(cluster.ask("bob", 1), Denied)


def test_a_guarantee_holds_in_its_envelope_alone() -> None:
    cluster = Cluster(policy(ALICES))
    assert isinstance(cluster.ask("alice", 9, "green"), Allowed)
    assert isinstance(cluster.ask("bob", 7), Denied)
    assert isinstance(cluster.ask("bob", 6), Allowed)


def test_a_limit_that_is_exceeded_anyway_is_told_once_with_what_fits_beside_the_parts() -> None:
    cluster = Cluster(policy(ALICES))
    cluster.uses("bob", 4)
    denied = cluster.ask("bob", 7)
    assert isinstance(denied, Denied)
    [excess] = denied.excesses
    assert (excess.fits, excess.free, excess.on_demand is None) == (2 * NANOS, 2 * NANOS, False)


def test_a_guarantee_lifts_no_limit() -> None:
    cluster = Cluster(policy(ALICES, more="users: {alice: {hard: {gpu: 2}}}\n"))
    denied = cluster.ask("alice", 3)
    assert isinstance(denied, Denied)
    assert [each.rule.entry for each in denied.excesses] == ["users.alice"]
    cluster.uses("bob", 12)
    denied = cluster.ask("alice", 1)
    assert isinstance(denied, Denied)
    assert [(each.rule.entry, each.on_demand) for each in denied.excesses] == [("tenants.research", None)]


def test_the_nearest_holder_counts() -> None:
    parts = "[{group: ml, hard: {gpu: 2}}, {namespace: blue, hard: {gpu: 3}}, {user: alice, hard: {gpu: 4}}]"
    cluster = Cluster(policy(parts))
    research = tenant("research")
    for who, where, holder in (
        ("alice", "blue", user("alice")),
        ("carol", "blue", namespace("blue")),
        ("carol", "red", group("ml")),
    ):
        before = cluster.index.set_aside(research, "gpu")
        assert isinstance(cluster.ask(who, 1, where), Allowed)
        assert cluster.index.allocated(held_by(research, holder), "gpu") == NANOS
        assert cluster.index.set_aside(research, "gpu") == (before or 9 * NANOS) - NANOS
    assert isinstance(cluster.ask("bob", 2), Denied)
    assert isinstance(cluster.ask("bob", 1), Allowed)


def test_what_is_kept_in_one_envelope_is_kept_in_the_one_around_it_by_a_part_of_that() -> None:
    parts = "[{tenant: research, hard: {gpu: 1}}, {user: alice, hard: {gpu: 4}}]"
    cluster = Cluster(policy(ALICES, more=f"cluster: {{hard: {{gpu: 12}}, guaranteed: {parts}}}\n"))
    assert isinstance(cluster.ask("bob", 8, "green"), Denied)
    assert isinstance(cluster.ask("bob", 7, "green"), Allowed)
    assert isinstance(cluster.ask("bob", 2), Denied)
    assert isinstance(cluster.ask("bob", 1), Allowed)
    assert isinstance(cluster.ask("alice", 4), Allowed)


def test_a_limit_that_only_warns_does_so_with_what_is_guaranteed() -> None:
    decision = Cluster(policy(ALICES, mode="warn")).ask("bob", 7)
    assert isinstance(decision, Allowed)
    assert [each.on_demand is not None for each in decision.tolerated] == [True]


def test_copies_of_a_workload_fit_beside_what_is_guaranteed() -> None:
    cluster = Cluster(policy(ALICES))
    cluster.uses("bob", 1)

    def fitting(who: str, number: int) -> int:
        part = Part((("gpu", 2 * NANOS),), "perPod", cluster.limits(who, "red"))
        return fit(Copies(number, (part,)), cluster.index).fits

    assert fitting("bob", 5) == 2
    assert fitting("alice", 5) == 4
    # Beyond the limit itself it is told once, with what fits beside the parts.
    part = Part((("gpu", 2 * NANOS),), "perPod", cluster.limits("bob", "red"))
    found = fit(Copies(9, (part,)), cluster.index)
    assert [(each.fits, each.on_demand is None) for each in found.excesses] == [(5 * NANOS, False)]


ASKED = st.lists(
    st.tuples(st.sampled_from(["alice", "bob", "carol", "dave"]), st.integers(1, 4), st.sampled_from(["red", "blue"])),
    max_size=20,
)


@given(ASKED)
def test_no_order_of_creates_takes_what_is_guaranteed(asked: list[tuple[str, int, str]]) -> None:
    cluster = Cluster(policy("[{user: alice, hard: {gpu: 4}}, {group: ml, hard: {gpu: 3}}]"))
    research = tenant("research")
    for who, gpus, where in asked:
        cluster.ask(who, gpus, where)
        used = cluster.index.allocated(research, "gpu")
        held = {each: cluster.index.allocated(held_by(research, each), "gpu") for each in (user("alice"), group("ml"))}
        taken = used - sum(held.values()) + max(held[user("alice")], 4 * NANOS) + max(held[group("ml")], 3 * NANOS)
        assert taken <= 10 * NANOS
        assert cluster.index.set_aside(research, "gpu") == taken - used
    # What was guaranteed is still there for whom it was, whatever the others did.
    for who, holder, amount in (("alice", user("alice"), 4), ("carol", group("ml"), 3)):
        left = amount - cluster.index.allocated(held_by(research, holder), "gpu") // NANOS
        if left > 0:
            assert isinstance(cluster.ask(who, int(left)), Allowed)


@pytest.mark.parametrize(
    ("written", "mistake"),
    [
        ("[{user: a, hard: {gpu: 11}}]", "gpu: the parts come to 11, more than the limit of 10"),
        (
            "[{user: a, hard: {gpu: 6}}, {user: b, hard: {gpu: 5}}]",
            "gpu: the parts come to 11, more than the limit of 10",
        ),
        ("[{user: a, hard: {cpu: 1}}]", "requests.cpu: tenants.research has no limit on it of which a part could be"),
        ("[{tenant: research, hard: {gpu: 1}}]", "tenant/research is not inside tenant/research"),
        ("[{user: a, hard: {gpu: 1}}, {user: a, hard: {gpu: 1}}]", "user/a has a part before it: give each holder one"),
        ("[{group: nlp, hard: {gpu: 1}}]", "nlp has no entry under groups"),
        ("[{hard: {gpu: 1}}]", "expected one of user, serviceAccount, namespace, group, tenant"),
        ("[{user: a, hard: {gpu: 0}}]", "gpu: expected an amount above 0"),
        ("[{user: a, hard: {gpu: unlimited}}]", "gpu: expected an amount above 0"),
        ("[{user: a, hard: {gpus: 1}}]", "unknown resource"),
    ],
)
def test_a_mistake_in_a_guarantee_is_told(written: str, mistake: str) -> None:
    [found] = read_policy([PolicyText("p", text(written))]).mistakes
    assert mistake in str(found)
    assert found.position.line == 4


def test_the_lowest_amount_of_a_window_bounds_what_is_guaranteed() -> None:
    windows = "{gpu: 10}, windows: [{from: '20:00', to: '06:00', zone: UTC, hard: {gpu: 3}}]"
    [found] = read_policy([PolicyText("p", text(ALICES, hard=windows))]).mistakes
    assert "the parts come to 4, more than the limit of 3" in str(found)


def test_a_limit_that_nobody_shares_has_no_parts() -> None:
    more = "users: {bob: {hard: {gpu: 4}, guaranteed: [{user: alice, hard: {gpu: 1}}]}}\n"
    [found] = read_policy([PolicyText("p", text(ALICES, more=more))]).mistakes
    assert str(found).endswith("users.bob.guaranteed[0]: nobody shares this limit: parts of it are nobody else's")


def test_an_edit_does_not_guarantee_what_others_use() -> None:
    cluster = Cluster(policy("[]"))
    cluster.uses("bob", 8)
    effect = cluster.edit(policy(ALICES))
    assert effect.is_refused
    assert edit_message.refusal(effect).startswith(
        "a limit would be below what is used: tenant/research: gpu 12 used, reserved or guaranteed (4), 10 by "
        "tenants.research at p:4, 2 too much."
    )
    assert not cluster.edit(policy("[{user: bob, hard: {gpu: 8}}]")).is_refused
    assert not cluster.edit(policy("[{user: alice, hard: {gpu: 2}}]")).is_refused


def test_an_edit_does_not_lower_a_limit_below_what_is_used_and_guaranteed() -> None:
    cluster = Cluster(policy(ALICES))
    cluster.uses("bob", 4)
    assert cluster.edit(policy(ALICES, hard="{gpu: 7}")).is_refused
    assert not cluster.edit(policy(ALICES, hard="{gpu: 8}")).is_refused
