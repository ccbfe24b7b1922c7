"""Which rows people see: tables of policies and objects."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tests.view.scenes import LABELS, cost, put, reserve, scene, told
from webhook.quota.quantity import NANOS
from webhook.quota.subject import Payer, Subject
from webhook.view.standings import Everybody, Scene, own_quota

ALICE, BOB = Payer("alice", ("ml", "staff")), Payer("bob")
POLICY = """
defaults:
  user: {hard: {pods: 10, cpu: 4}, perPod: {cpu: 2}}
  serviceAccount: {hard: {pods: 3}}
users:
  alice: {hard: {cpu: 6}, until: 2027-01-31T00:00:00Z}
groups:
  ml: {perMember: {hard: {cpu: 3}}, pool: {hard: {cpu: 16}}, members: [bob]}
tenants:
  research: {namespaces: {matchLabels: {team: research}}, hard: {cpu: 200}, perNamespace: {hard: {pods: 7}}}
namespaces:
  red: {hard: {cpu: 50}}
"""


@pytest.fixture
def filled() -> Scene:
    """Alice has two pods and one in flight, bob one."""
    made = scene(POLICY)
    put(made, "a", ALICE, cost(1))
    put(made, "b", ALICE, cost(3))
    put(made, "c", BOB, cost(2))
    reserve(made, "d", ALICE, cost(1))
    return made


def test_own_rows_name_each_limit_that_binds_with_exact_numbers(filled: Scene) -> None:
    assert told(own_quota(filled, ALICE).standings) == [
        ("user/alice", "", "pods", "10/2/1/7/0", "defaults.user"),
        ("user/alice", "", "requests.cpu", "3/4/1/0/2", "groups.ml.perMember"),
        ("user/alice", "", "requests.cpu", "6/4/1/1/0", "users.alice"),
        ("group/ml", "", "requests.cpu", "16/6/1/9/0", "groups.ml.pool"),
    ]


def test_with_a_namespace_its_tenant_and_its_own_limits_are_there_too(filled: Scene) -> None:
    rows = told(own_quota(filled, BOB, "red").standings)

    assert rows[-3:] == [
        ("tenant/research", "", "requests.cpu", "200/6/1/193/0", "tenants.research"),
        ("namespace/red", "", "pods", "7/3/1/3/0", "tenants.research.perNamespace"),
        ("namespace/red", "", "requests.cpu", "50/6/1/43/0", "namespaces.red"),
    ]
    assert {row[0] for row in rows} == {"user/bob", "group/ml", "tenant/research", "namespace/red"}


def test_nobody_sees_a_row_of_another_person(filled: Scene) -> None:
    for payer in (ALICE, BOB, Payer("carol"), Payer("system:serviceaccount:red:robot")):
        others = {f"user/{name}" for name in ("alice", "bob")} - {f"user/{payer.owner}"}
        assert not others & {row.subject for row in own_quota(filled, payer, "red").standings}


def test_what_is_used_and_not_limited_is_told_of_oneself_alone() -> None:
    made = scene("groups: {ml: {pool: {hard: {pods: 9}}}}")
    put(made, "a", ALICE, cost(1))

    assert told(own_quota(made, ALICE).standings) == [
        ("user/alice", "", "pods", "-/1/0/-/-", ""),
        ("user/alice", "", "requests.cpu", "-/1/0/-/-", ""),
        ("group/ml", "", "pods", "9/1/0/8/0", "groups.ml.pool"),
    ]


def test_a_service_account_sees_what_its_namespace_shares(filled: Scene) -> None:
    put(filled, "r", Payer("system:serviceaccount:blue:other"))

    rows = told(own_quota(filled, Payer("system:serviceaccount:blue:robot")).standings)

    assert rows[0] == ("serviceaccounts/blue", "", "pods", "3/1/0/2/0", "defaults.serviceAccount")


def test_what_a_selector_selects_has_rows_of_its_own() -> None:
    made = scene("defaults: {user: {hard: {pods: 9}, scoped: [{scopes: [BestEffort], hard: {pods: 2}}]}}")
    put(made, "a", BOB, cost(0), scopes=("BestEffort",))
    put(made, "b", BOB, cost(0))

    assert told(own_quota(made, BOB).standings) == [
        ("user/bob", "", "pods", "9/2/0/7/0", "defaults.user"),
        ("user/bob", "BestEffort", "pods", "2/1/0/1/0", "defaults.user.scoped[0]"),
    ]


def test_an_entry_that_has_ended_is_gone() -> None:
    later = scene(POLICY, now=datetime(2027, 1, 31, tzinfo=UTC))

    assert "users.alice" not in {row[-1] for row in told(own_quota(later, ALICE).standings)}


def test_caps_bind_each_object() -> None:
    quota = own_quota(scene(POLICY), BOB)

    assert [(each.limit.cap, each.limit.resource, each.limit.entry) for each in quota.caps] == [
        ("perPod", "requests.cpu", "defaults.user.perPod")
    ]


def everybody(made: Scene) -> Everybody:
    found = Everybody(made, LABELS)
    for path, row in made.usage.snapshot("pods").items():
        found.note(row.account, path.split("/")[0])
    return found


def test_what_an_entry_and_an_object_tell_of_one_limit_is_one_row() -> None:
    made = scene("resources: {cpu: {unit: cores}}\ncluster: {hard: {cpu: 9}}")
    put(made, "a", Payer("alice"))
    rows = [each for each in everybody(made).quota(Subject("cluster")).standings if each.limit]
    assert [(each.resource, each.limit.about and each.limit.about.unit) for each in rows if each.limit] == [
        ("requests.cpu", "cores")
    ]


def test_an_administrator_sees_who_uses_something_and_what_has_an_entry(filled: Scene) -> None:
    put(filled, "e", Payer("eve"), namespace="blue")

    assert everybody(filled).subjects() == [
        "cluster",
        "group/ml",
        "namespace/blue",
        "namespace/red",
        "tenant/research",
        "user/alice",
        "user/bob",
        "user/eve",
    ]


def test_an_administrator_sees_the_same_numbers_as_the_person(filled: Scene) -> None:
    found = everybody(filled)

    for payer in (ALICE, BOB):
        own = [row for row in told(own_quota(filled, payer).standings) if row[0].startswith("user/")]
        assert told(found.quota(Subject(f"user/{payer.owner}")).standings) == own
    assert told(found.quota(Subject("tenant/research")).standings)[0] == (
        "tenant/research",
        "",
        "pods",
        "-/3/1/-/-",
        "",
    )


def test_the_groups_that_objects_were_made_with_bind_and_are_told() -> None:
    """Alice left the group ml after she made the pod; for the pod its cap still holds."""
    made = scene("groups: {ml: {perMember: {hard: {cpu: 3}}}}")
    put(made, "a", ALICE, cost(2))

    assert ("user/alice", "", "requests.cpu", "3/2/0/1/0", "groups.ml.perMember") in told(
        everybody(made).quota(Subject("user/alice")).standings
    )


def test_a_namespace_of_a_tenant_is_told_though_nothing_is_in_it(filled: Scene) -> None:
    made = scene(POLICY)

    assert told(everybody(made).quota(Subject("namespace/red")).standings) == [
        ("namespace/red", "", "pods", "7/0/0/7/0", "tenants.research.perNamespace"),
        ("namespace/red", "", "requests.cpu", "50/0/0/50/0", "namespaces.red"),
    ]


def test_limits_of_other_groups_are_told_apart() -> None:
    """Carol made a pod before she was in staff: each limit binds other objects, and neither is the lower one."""
    made = scene(
        "defaults: {user: {hard: {cpu: 4}}}\ngroups: {staff: {}}\n"
        "rules: [{name: staff, groups: [staff], hard: {cpu: 6}}]\n"
    )
    put(made, "old", Payer("carol"), cost(1))
    put(made, "new", Payer("carol", ("staff",)), cost(1))
    everybody = Everybody(made, [])
    for key, row in made.usage.snapshot("pods").items():
        everybody.note(row.account, key.partition("/")[0])

    rows = [each for each in everybody.quota(Subject("user/carol")).standings if each.limit is not None]

    assert [(each.limit.entry, each.rule.text) for each in rows if each.limit and each.rule] == [
        ("defaults.user", "default; for what is made in no group of the policy"),
        ("rules.staff", "by a rule, in the place of defaults.user; for what is made in staff"),
    ]


def test_what_is_guaranteed_to_others_is_not_free() -> None:
    tenant = "namespaces: {matchLabels: {team: research}}, hard: {cpu: 10}, guaranteed: [{user: alice, hard: {cpu: 4}}]"
    made = scene(f"tenants: {{research: {{{tenant}}}}}")
    put(made, "a", ALICE, cost(1))
    put(made, "b", BOB, cost(5))

    for payer, free, set_aside in ((BOB, 1, 3), (ALICE, 4, 0)):
        shared = own_quota(made, payer, "red").standings[-1]
        assert (shared.subject, shared.free, shared.set_aside) == ("tenant/research", free * NANOS, set_aside * NANOS)
    everybody = Everybody(made, ["red"])
    [whole] = [each for each in everybody.quota(Subject("tenant/research")).standings if each.limit]
    assert (whole.free, whole.set_aside) == (NANOS, 3 * NANOS)


def test_of_a_limit_on_demand_what_commitments_cover_is_not_used() -> None:
    of_h100 = "scopeSelector: {matchExpressions: [{scopeName: NodeClass, operator: In, values: [h100]}]}"
    made = scene(
        "nodeClasses: {h100: {nodes: {matchLabels: {gpu: h100}}}}\n"
        "tenants:\n  research:\n    namespaces: {matchLabels: {team: research}}\n"
        f"    scoped: [{{{of_h100}, onDemand: true, hard: {{cpu: 4}}}}]\n"
        "commitments: {c: {tenant: research, nodeClass: h100, amounts: {cpu: 8}}}\n"
    )
    scopes = ("NodeClass=h100", "Zone")
    put(made, "a", ALICE, cost(7), scopes=scopes)
    put(made, "b", BOB, cost(2), scopes=scopes)
    reserve(made, "d", ALICE, cost(2), scopes=scopes)
    rows = told(own_quota(made, ALICE, "red").standings)
    entry, scope = "tenants.research.scoped[0]", "NodeClass In (h100), on demand"
    assert ("tenant/research", scope, "requests.cpu", "4/1/2/1/0", entry) in rows
