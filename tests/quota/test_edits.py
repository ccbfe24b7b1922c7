"""What an edit of the policy does to those who use something: who is over a limit that was not, and who loses one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

import pytest

from tests.quota.policies import NOW, ROBOT, amounts
from webhook.documents.policy_text import PolicyText, read_policy
from webhook.documents.step_by_step import at_once
from webhook.quota.edits import Effect, Known, effect_of
from webhook.quota.expected import Expected
from webhook.quota.lifted import lifted_entries
from webhook.quota.objects import ObjectKey
from webhook.quota.policy import Policy, accounts_under
from webhook.quota.presets import Labels
from webhook.quota.quantity import NANOS
from webhook.quota.reservation import Reservation
from webhook.quota.resources import Amount, Amounts, show
from webhook.quota.subject import NOBODY, Payer
from webhook.quota.usage import Row, UsageIndex

LABELS = {"red": {"team": "research"}, "blue": {}}
MIG = "requests.nvidia.com/mig-1g.5gb"


NIGHT = "{from: 20:00, to: 06:00, zone: Europe/Berlin, hard: {gpu: 8}}"


def policy(text: str) -> Policy:
    reading = read_policy([PolicyText("p", f"version: 1\n{text}")])
    assert reading.policy is not None, reading.mistakes
    return reading.policy


def labels_of(namespace: str) -> Mapping[str, str]:
    return LABELS.get(namespace, {})


@dataclass
class Cluster:
    """What people use; each object and reservation is a pod."""

    rows: list[tuple[Payer, str, Amounts]] = field(default_factory=list)
    in_flight: list[tuple[Payer, str, Amounts]] = field(default_factory=list)
    counted: frozenset[str] = frozenset()

    def effect(self, before: str, after: str) -> Effect:
        was = policy(before)
        index = UsageIndex(accounts_under(was, labels_of), was.devices)
        for number, (payer, namespace, costs) in enumerate(self.rows):
            index.observe(ObjectKey("pods", namespace, f"p{number}"), Row(f"u{number}", number + 1, payer, costs))
        for number, (payer, namespace, costs) in enumerate(self.in_flight):
            index.reserve(Reservation(ObjectKey("pods", namespace, f"r{number}"), f"v{number}", 0, payer, costs))
        known = Known(index.holdings(), labels_of, NOW, self.counted.__contains__)
        return at_once(effect_of(was, policy(after), known))


def costs(written: str) -> Amounts:
    found: list[tuple[str, Amount]] = []
    for name, amount in amounts(written).items():
        assert isinstance(amount, int)
        found.append((name, amount))
    return tuple(sorted(found))


def uses(*rows: tuple[str | Payer, str], namespace: str = "red") -> Cluster:
    """Return a cluster where each payer, a name or more, has an object that costs what is written."""
    return Cluster(
        [(Payer(each) if isinstance(each, str) else each, namespace, costs(written)) for each, written in rows]
    )


def overruns(effect: Effect) -> list[str]:
    """Return a line per overrun: subject, resource, what is allocated and the limit, and its entry."""
    return [
        f"{each.limit.subject} {each.limit.resource} {show(each.limit.resource, each.allocated)} of "
        f"{show(each.limit.resource, each.limit.hard)} by {each.limit.entry}"
        for each in effect.overruns
    ]


def lifted(effect: Effect) -> list[str]:
    return [
        f"{each.whom} {each.resource} {show(each.resource, each.hard)} by {each.entry}"
        for each in sorted(effect.lifted)
    ]


FOUR = "defaults: {user: {hard: {cpu: 4}}}\n"
ML = Payer("alice", ("ml",))

OVERRUNS = {
    "a lower default": (
        uses(("alice", "cpu=3"), ("bob", "cpu=1")),
        FOUR,
        "defaults: {user: {hard: {cpu: 2}}}",
        ["user/alice requests.cpu 3 of 2 by defaults.user"],
    ),
    "one that is just enough": (uses(("alice", "cpu=3")), FOUR, "defaults: {user: {hard: {cpu: 3}}}", []),
    "one that is a billionth too low": (
        uses(("alice", "cpu=3")),
        FOUR,
        "defaults: {user: {hard: {cpu: 2999999999n}}}",
        ["user/alice requests.cpu 3 of 2999999999n by defaults.user"],
    ),
    "a limit where there was none": (
        uses(("alice", "cpu=3")),
        "",
        FOUR.replace("4", "1"),
        ["user/alice requests.cpu 3 of 1 by defaults.user"],
    ),
    "a limit of another resource": (uses(("alice", "cpu=3")), "", "defaults: {user: {hard: {memory: 0}}}", []),
    "an entry that lowers the default": (
        uses(("alice", "cpu=3")),
        FOUR,
        FOUR + "users: {alice: {hard: {cpu: 0}}}",
        ["user/alice requests.cpu 3 of 0 by users.alice"],
    ),
    "the entry that raised the default goes": (
        uses(("alice", "cpu=6")),
        FOUR + "users: {alice: {hard: {cpu: 8}}}",
        FOUR,
        ["user/alice requests.cpu 6 of 4 by defaults.user"],
    ),
    "who was over already is over still": (
        uses(("alice", "cpu=6"), ("bob", "cpu=1")),
        FOUR,
        FOUR + "users: {bob: {hard: {cpu: 2}}}",
        [],
    ),
    "who was over already is over by less": (uses(("alice", "cpu=6")), FOUR, "defaults: {user: {hard: {cpu: 5}}}", []),
    "who was over already is over by more": (
        uses(("alice", "cpu=6")),
        FOUR,
        "defaults: {user: {hard: {cpu: 3}}}",
        ["user/alice requests.cpu 6 of 3 by defaults.user"],
    ),
    "the same limit by another entry": (uses(("alice", "cpu=6")), FOUR, FOUR + "users: {alice: {hard: {cpu: 4}}}", []),
    "warnings become refusals": (
        uses(("alice", "cpu=6")),
        "defaults: {user: {hard: {cpu: 4}, mode: warn}}",
        FOUR,
        ["user/alice requests.cpu 6 of 4 by defaults.user"],
    ),
    "a limit that only warns": (uses(("alice", "cpu=6")), "", "defaults: {user: {hard: {cpu: 4}, mode: warn}}", []),
    "a limit that is over in time": (
        uses(("alice", "cpu=6")),
        "",
        "users: {alice: {hard: {cpu: 4}, until: 2026-10-31T00:00:00Z}}",
        [],
    ),
    "a pool below what its members use": (
        uses((ML, "cpu=2"), (Payer("bob", ("ml",)), "cpu=2")),
        "groups: {ml: {pool: {hard: {cpu: 4}}}}",
        "groups: {ml: {pool: {hard: {cpu: 3}}}}",
        ["group/ml requests.cpu 4 of 3 by groups.ml.pool"],
    ),
    "a pool that is lowered with those who leave it": (
        uses(("alice", "cpu=2"), ("bob", "cpu=2")),
        "groups: {ml: {members: [alice, bob], pool: {hard: {cpu: 4}}}}",
        "groups: {ml: {members: [alice], pool: {hard: {cpu: 2}}}}",
        [],
    ),
    "a pool that stays while others join": (
        uses(("alice", "cpu=2"), ("bob", "cpu=2")),
        "groups: {ml: {members: [alice], pool: {hard: {cpu: 3}}}}",
        "groups: {ml: {members: [alice, bob], pool: {hard: {cpu: 3}}}}",
        ["group/ml requests.cpu 4 of 3 by groups.ml.pool"],
    ),
    "a cap for each member": (
        uses((ML, "cpu=2"), ("bob", "cpu=2")),
        "",
        "groups: {ml: {perMember: {hard: {cpu: 1}}}}",
        ["user/alice requests.cpu 2 of 1 by groups.ml.perMember"],
    ),
    "the stricter of two is told": (
        uses((ML, "cpu=5")),
        "",
        "defaults: {user: {hard: {cpu: 3}}}\ngroups: {ml: {perMember: {hard: {cpu: 1}}}}",
        ["user/alice requests.cpu 5 of 1 by groups.ml.perMember"],
    ),
    "groups that are combined otherwise": (
        uses((Payer("alice", ("ml", "hpc")), "cpu=3")),
        "combine: sum\ngroups: {ml: {perMember: {hard: {cpu: 2}}}, hpc: {perMember: {hard: {cpu: 2}}}}",
        "combine: max\ngroups: {ml: {perMember: {hard: {cpu: 2}}}, hpc: {perMember: {hard: {cpu: 2}}}}",
        ["user/alice requests.cpu 3 of 2 by groups.hpc.perMember+groups.ml.perMember"],
    ),
    "a tenant, by the labels of the namespace": (
        uses(("alice", "cpu=3")),
        "",
        "tenants: {research: {namespaces: {matchLabels: {team: research}}, hard: {cpu: 2}}}",
        ["tenant/research requests.cpu 3 of 2 by tenants.research"],
    ),
    "each namespace of a tenant": (
        uses(("alice", "cpu=3")),
        "",
        "tenants: {research: {namespaces: {matchLabels: {team: research}}, perNamespace: {hard: {cpu: 2}}}}",
        ["namespace/red requests.cpu 3 of 2 by tenants.research.perNamespace"],
    ),
    "a namespace of no tenant": (
        uses(("alice", "cpu=3"), namespace="blue"),
        "",
        "tenants: {research: {namespaces: {matchLabels: {team: research}}, hard: {cpu: 2}}}",
        [],
    ),
    "the cluster": (
        uses(("alice", "cpu=3"), ("bob", "cpu=3")),
        "",
        "cluster: {hard: {cpu: 5}}",
        ["cluster requests.cpu 6 of 5 by cluster"],
    ),
    "service accounts of a namespace together": (
        uses((ROBOT, "pods=2"), (Payer("system:serviceaccount:ci:other"), "pods=2")),
        "",
        "defaults: {serviceAccount: {hard: {pods: 3}}}",
        ["serviceaccounts/ci pods 4 of 3 by defaults.serviceAccount"],
    ),
    "each account for itself": (
        uses((ROBOT, "pods=2"), (Payer("system:serviceaccount:ci:other"), "pods=2")),
        "",
        "serviceAccountLimits: perAccount\ndefaults: {serviceAccount: {hard: {pods: 3}}}",
        [],
    ),
    "what nobody owns": (
        uses((NOBODY, "pods=2")),
        "",
        "defaults: {unattributed: {hard: {pods: 1}}}",
        ["user/system:unattributed pods 2 of 1 by defaults.unattributed"],
    ),
    "who is exempt": (
        uses(("alice", "cpu=3")),
        FOUR,
        "exempt: [{user: alice, reason: x}]\ndefaults: {user: {hard: {cpu: 1}}}",
        [],
    ),
    "who is exempt no more": (
        uses(("alice", "cpu=6")),
        "exempt: [{user: alice, reason: x}]\n" + FOUR,
        FOUR,
        ["user/alice requests.cpu 6 of 4 by defaults.user"],
    ),
    "what those who are exempt share with others": (
        uses(("alice", "cpu=3")),
        "exempt: [{user: alice, reason: x}]",
        "exempt: [{user: alice, reason: x}]\nnamespaces: {red: {hard: {cpu: 1}}}",
        ["namespace/red requests.cpu 3 of 1 by namespaces.red"],
    ),
}


@pytest.mark.parametrize(("cluster", "before", "after", "expected"), OVERRUNS.values(), ids=OVERRUNS)
def test_who_is_over_a_limit_by_an_edit(cluster: Cluster, before: str, after: str, expected: list[str]) -> None:
    assert overruns(cluster.effect(before, after)) == expected


def test_another_weight_of_a_device_is_an_edit_of_every_limit_on_it() -> None:
    cluster = Cluster([(Payer("alice"), "red", ((MIG, 3 * NANOS),))])
    limit = "defaults: {user: {hard: {gpu: 1}}}\n"

    effect = cluster.effect(limit, limit + "resources: {gpu: {nvidia.com/mig-1g.5gb: 1/2}}")

    (overrun,) = effect.overruns
    assert (overrun.allocated, overrun.over) == (Fraction(3, 2) * NANOS, Fraction(1, 2) * NANOS)


def test_what_is_in_flight_counts() -> None:
    cluster = Cluster([(ML, "red", costs("cpu=1"))], [(ML, "red", costs("cpu=1"))])
    assert overruns(cluster.effect(FOUR, FOUR.replace("4", "1"))) == ["user/alice requests.cpu 2 of 1 by defaults.user"]
    assert overruns(cluster.effect(FOUR, FOUR.replace("4", "2"))) == []


def test_objects_that_are_alike_count_each() -> None:
    alike = [(Payer("alice"), namespace, (("requests.cpu", NANOS), (MIG, NANOS))) for namespace in ("red", "blue") * 9]
    cluster = Cluster([*alike, (Payer("bob"), "red", costs("cpu=1")), (Payer("alice", ("ml",)), "red", costs("cpu=1"))])
    limits = "namespaces: {red: {hard: {cpu: 10}}}\ncluster: {hard: {cpu: 19}}\n"
    assert overruns(cluster.effect("", f"defaults: {{user: {{hard: {{gpu: 2, cpu: 18}}}}}}\n{limits}")) == [
        "user/alice gpu 2+4/7 of 2 by defaults.user",
        "namespace/red requests.cpu 11 of 10 by namespaces.red",
        "user/alice requests.cpu 19 of 18 by defaults.user",
        "cluster requests.cpu 20 of 19 by cluster",
    ]


def test_of_objects_that_are_alike_one_may_be_resized_at_this_moment() -> None:
    """The larger of what it has and what it asks for counts, as of any object."""
    index, alice = UsageIndex(accounts_under(policy(""), labels_of)), Payer("alice")
    for number in range(3):
        index.observe(ObjectKey("pods", "red", f"p{number}"), Row(f"u{number}", number + 1, alice, costs("cpu=1")))
    index.reserve(Reservation(ObjectKey("pods", "red", "p1"), "u1", 9, alice, costs("cpu=2")))
    known = Known(index.holdings(), labels_of, NOW, lambda _: True)
    (overrun,) = at_once(effect_of(policy(""), policy(FOUR.replace("4", "3")), known)).overruns
    assert overrun.allocated == 4 * NANOS == index.allocated(overrun.limit.subject, "requests.cpu")


def test_sessions_that_are_alike_hold_room_each_which_their_own_pods_take() -> None:
    index, alice = UsageIndex(accounts_under(policy(""), labels_of)), Payer("alice")
    for number in range(3):
        labels: Labels = (("notebook-name", f"n{number}"),)
        key = ObjectKey("notebooks.kubeflow.org", "red", f"n{number}")
        expected = Expected(costs("cpu=2"), (labels,))
        index.observe(key, Row(f"n{number}", number + 1, alice, (("sessions", NANOS),), expected=expected))
        for pod in range(number):
            row = Row(f"p{number}{pod}", number + 10, alice, costs("cpu=1"), part_of=(labels,))
            index.observe(ObjectKey("pods", "red", f"p{number}{pod}"), row)
    known = Known(index.holdings(), labels_of, NOW, lambda _: True)
    (overrun,) = at_once(effect_of(policy(""), policy(FOUR), known)).overruns
    assert overrun.allocated == 6 * NANOS == index.allocated(overrun.limit.subject, "requests.cpu")


def test_the_largest_part_comes_first_and_what_is_forbidden_before_all() -> None:
    cluster = uses(("a", "cpu=3"), ("b", "cpu=30"), ("c", "cpu=4"), ("d", "cpu=1"))
    entries = {"a": 1, "b": 20, "c": 2, "d": 0}
    limits = ", ".join(f"{name}: {{hard: {{cpu: {hard}}}}}" for name, hard in entries.items())

    found = cluster.effect("", f"users: {{{limits}}}").overruns

    assert [each.limit.subject for each in found] == ["user/d", "user/a", "user/c", "user/b"]


LIFTED = {
    "nothing": (FOUR, FOUR, []),
    "a higher limit": (FOUR, "defaults: {user: {hard: {cpu: 400}}}", []),
    "the default": (FOUR, "", ["defaults.user requests.cpu 4 by defaults.user"]),
    "the default with those whom it bound": (
        FOUR + "users: {bob: {hard: {pods: 1}}}",
        "users: {bob: {hard: {pods: 1}}}",
        ["defaults.user requests.cpu 4 by defaults.user"],
    ),
    "an entry under which the default binds": (FOUR + "users: {bob: {hard: {cpu: 1}}}", FOUR, []),
    "an entry that nothing follows": (
        "users: {bob: {hard: {cpu: 1, pods: 2}}}",
        "users: {bob: {hard: {pods: 2}}}",
        ["users.bob requests.cpu 1 by users.bob"],
    ),
    "the word": (FOUR, FOUR + "users: {bob: {hard: {cpu: unlimited}}}", ["users.bob requests.cpu 4 by defaults.user"]),
    "a mode": (FOUR, FOUR.replace("}}", "}, mode: audit}"), ["defaults.user requests.cpu 4 by defaults.user"]),
    "an end": (
        FOUR,
        FOUR.replace("}}", "}, until: 2026-10-31T00:00:00Z}"),
        ["defaults.user requests.cpu 4 by defaults.user"],
    ),
    "a cap": ("defaults: {user: {perPod: {cpu: 2}}}", "", ["defaults.user requests.cpu 2 by defaults.user.perPod"]),
    "a pool and its caps": (
        "groups: {ml: {pool: {hard: {cpu: 4}}, perMember: {hard: {cpu: 1}}}}",
        "",
        [
            "groups.ml.perMember requests.cpu 1 by groups.ml.perMember",
            "groups.ml.pool requests.cpu 4 by groups.ml.pool",
        ],
    ),
    "a tenant": (
        "tenants: {t: {namespaces: {matchLabels: {a: b}}, hard: {cpu: 4}, perNamespace: {hard: {cpu: 1}}}}",
        "",
        ["tenants.t requests.cpu 4 by tenants.t", "tenants.t.perNamespace requests.cpu 1 by tenants.t.perNamespace"],
    ),
    "a namespace, the cluster and an account": (
        "namespaces: {red: {hard: {cpu: 1}}}\ncluster: {hard: {cpu: 2}}\nserviceAccounts: {ci/b: {hard: {cpu: 3}}}",
        "",
        [
            "cluster requests.cpu 2 by cluster",
            "namespaces.red requests.cpu 1 by namespaces.red",
            "serviceAccounts.system:serviceaccount:ci:b requests.cpu 3 by serviceAccounts[ci/b]",
        ],
    ),
    "a scoped one": (
        "defaults: {user: {scoped: [{scopes: [BestEffort], hard: {pods: 1}}]}}",
        "defaults: {user: {}}",
        ["[BestEffort] defaults.user pods 1 by defaults.user.scoped[0]"],
    ),
    "a limit of a tier, of whom it bound": (
        "tiers: {pro: {hard: {cpu: 4}, perPod: {cpu: 2}}}\nusers: {alice: {tier: pro}}\n",
        "tiers: {pro: {}}\nusers: {alice: {tier: pro}}\n",
        [
            "users.alice requests.cpu 2 by users.alice (tiers.pro).perPod",
            "users.alice requests.cpu 4 by users.alice (tiers.pro)",
        ],
    ),
    "a limit of the tier of a default, once": (
        "tiers: {pro: {hard: {cpu: 4}}}\ndefaults: {user: {tier: pro}}\nusers: {alice: {hard: {pods: 1}}}\n",
        "tiers: {pro: {}}\ndefaults: {user: {tier: pro}}\nusers: {alice: {hard: {pods: 1}}}\n",
        ["defaults.user requests.cpu 4 by defaults.user (tiers.pro)"],
    ),
    "a limit that windows alone set": (
        f"users: {{alice: {{windows: [{NIGHT}]}}}}\n",
        "users: {alice: {}}\n",
        ["users.alice in a window gpu 8 by users.alice.windows[0]"],
    ),
    "what a window lifts, though it does not hold now": (
        "users: {alice: {hard: {gpu: 2}}}\n",
        f"users: {{alice: {{hard: {{gpu: 2}}, windows: [{NIGHT.replace('8', 'unlimited')}]}}}}\n",
        ["users.alice in a window gpu 2 by users.alice"],
    ),
    "no limit that differs in a window": (
        f"users: {{alice: {{hard: {{gpu: 2}}, windows: [{NIGHT}]}}}}\n",
        f"users: {{alice: {{hard: {{gpu: 2}}, windows: [{NIGHT.replace('8', '9')}]}}}}\n",
        [],
    ),
    "what is lifted at all times, once": (
        f"users: {{alice: {{hard: {{gpu: 2}}, windows: [{NIGHT}]}}}}\n",
        "users: {alice: {}}\n",
        ["users.alice gpu 2 by users.alice"],
    ),
    "windows of a default, once": (
        f"defaults: {{user: {{windows: [{NIGHT}]}}}}\nusers: {{alice: {{}}, bob: {{}}}}\n",
        "users: {alice: {}, bob: {}}\n",
        ["defaults.user in a window gpu 8 by defaults.user.windows[0]"],
    ),
    "no limit that the tier sets instead": (
        "tiers: {pro: {hard: {cpu: 4}}}\nusers: {alice: {tier: pro, hard: {cpu: 2}}}\n",
        "tiers: {pro: {hard: {cpu: 4}}}\nusers: {alice: {tier: pro}}\n",
        [],
    ),
}


@pytest.mark.parametrize(("before", "after", "expected"), LIFTED.values(), ids=LIFTED)
def test_what_an_edit_lifts_is_found_though_nobody_uses_anything(before: str, after: str, expected: list[str]) -> None:
    assert lifted(Cluster().effect(before, after)) == expected


LOST = {
    "who leaves a group": (
        uses(("alice", "cpu=1")),
        "groups: {ml: {members: [alice], perMember: {hard: {cpu: 4}}}}",
        "groups: {ml: {members: [bob], perMember: {hard: {cpu: 4}}}}",
        ["user/alice requests.cpu 4 by groups.ml.perMember"],
    ),
    "whose namespace leaves a tenant": (
        uses(("alice", "cpu=1")),
        "tenants: {t: {namespaces: {matchLabels: {team: research}}, hard: {cpu: 4}}}",
        "tenants: {t: {namespaces: {matchLabels: {team: other}}, hard: {cpu: 4}}}",
        ["tenant/t requests.cpu 4 by tenants.t"],
    ),
    "also of what they do not use": (
        uses(("alice", "cpu=1")),
        "groups: {ml: {members: [alice], perMember: {hard: {gpu: 0}}}}",
        "groups: {ml: {members: [bob], perMember: {hard: {gpu: 0}}}}",
        ["user/alice gpu 0 by groups.ml.perMember"],
    ),
    "whom the lost default bound, once": (
        uses(("alice", "cpu=1")),
        FOUR,
        "",
        ["defaults.user requests.cpu 4 by defaults.user"],
    ),
}


@pytest.mark.parametrize(("cluster", "before", "after", "expected"), LOST.values(), ids=LOST)
def test_who_uses_something_and_loses_a_limit(cluster: Cluster, before: str, after: str, expected: list[str]) -> None:
    assert lifted(cluster.effect(before, after)) == expected


def test_what_is_exempt_from_now_on_is_told_once() -> None:
    exempt = "exempt: [{user: root, reason: x}, {group: ops, reason: why}]\n"
    effect = Cluster().effect("exempt: [{user: root, reason: z}]\n", exempt)
    assert [str(each) for each in effect.exempted] == ["group ops: why"]


def test_what_is_counted_only_once_the_edit_is_in_force_is_named() -> None:
    limits = "cluster: {hard: {count/services: 1, count/deployments.apps: 1, pods: 1}}\n"
    after = (
        limits
        + "terminating: hold\nsessions: {count: running}\nattribution: {groupObjects: openshift}\nreserve: [sessions]\n"
    )

    effect = Cluster(counted=frozenset({"services"})).effect("", after)

    assert effect.uncompared == (
        "count/deployments.apps",
        "sessions",
        "what is set aside for sessions",
        "pods that are being deleted",
        "the members that Group objects list",
    )
    assert Cluster(counted=frozenset({"services", "deployments.apps"})).effect(after, after).uncompared == ()


def test_both_are_compared_in_small_steps() -> None:
    """A thread that does this lets requests be answered between two steps."""
    many = ", ".join(f"user-{number}: {{hard: {{cpu: 1}}}}" for number in range(2000))
    steps = lifted_entries(policy(f"users: {{{many}}}"), policy(""), NOW)
    assert sum(1 for _ in steps) == 2 * 4

    cluster = uses(*((f"user-{number}", "cpu=1") for number in range(1000)))
    index = UsageIndex(accounts_under(policy(""), labels_of))
    for number, (payer, namespace, amount) in enumerate(cluster.rows):
        index.observe(ObjectKey("pods", namespace, f"p{number}"), Row(f"u{number}", number + 1, payer, amount))
    known = Known(index.holdings(), labels_of, NOW, lambda _: True)
    assert sum(1 for _ in effect_of(policy(""), policy(FOUR), known)) >= 2 * 2 * 1000 / 50
