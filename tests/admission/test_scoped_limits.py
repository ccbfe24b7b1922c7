"""Limits on a part of the objects, through the whole request path."""

from __future__ import annotations

from tests.admission.asking import Json, Webhook, a_review, pod, stamped
from webhook.quota.objects import ObjectKey
from webhook.quota.policy import Policy, accounts_under
from webhook.quota.quantity import NANOS
from webhook.quota.subject import Payer
from webhook.quota.usage import Row

POLICY = """\
version: 1
defaults:
  user:
    hard: {pods: 3}
    scoped:
      - scopes: [BestEffort]
        hard: {pods: 1}
      - scopeSelector: {matchExpressions: [{scopeName: PriorityClass, operator: In, values: [high]}]}
        hard: {cpu: 2}
      - scopes: [Terminating]
        hard: {pods: 1}
"""


def best_effort(name: str) -> Json:
    document = pod(name, cpu="")
    document["status"] = {"qosClass": "BestEffort"}
    return a_review(object=document)


def urgent(name: str, cpu: str) -> Json:
    document = pod(name, cpu)
    document["spec"]["priorityClassName"] = "high"
    return a_review(object=document)


async def test_a_limit_binds_only_what_its_scope_selects() -> None:
    webhook = Webhook(POLICY)

    first, second = await webhook.ask(best_effort("a")), await webhook.ask(best_effort("b"))
    plain = await webhook.ask(a_review(object=pod("c")))

    assert first.allowed
    assert second.message.startswith(
        "exceeded quota: defaults.user.scoped[0], requested: pods=1, used: pods=0, limited: pods=1, reserved: pods=1, "
        "free: pods=0 for [BestEffort] user/alice"
    )
    assert plain.allowed


async def test_a_priority_class_has_its_own_sum() -> None:
    webhook = Webhook(POLICY)

    answers = [await webhook.ask(urgent(name, cpu)) for name, cpu in (("a", "1500m"), ("b", "1"))]

    assert [answer.allowed for answer in answers] == [True, False]
    assert "requests.cpu=500m for [PriorityClass In (high)] user/alice" in answers[1].message


async def test_an_update_into_a_scope_has_to_fit_there() -> None:
    webhook = Webhook(POLICY)
    for name, deadline in (("a", 60), ("b", None)):
        scopes = ("NotBestEffort", "PriorityClass", "Terminating" if deadline else "NotTerminating")
        cost = (("pods", NANOS), ("requests.cpu", NANOS))
        webhook.index.observe(
            ObjectKey("pods", "red", name), Row(f"uid-of-{name}", 5, Payer("alice"), cost, scopes=scopes)
        )
    old, new = stamped(pod("b")), stamped(pod("b"))
    new["spec"]["activeDeadlineSeconds"] = 60

    answer = await webhook.validate_only(a_review("pods", "UPDATE", object=new, oldObject=old, name="b"))
    back = await webhook.validate_only(a_review("pods", "UPDATE", object=old, oldObject=new, name="b"))

    assert answer.message.startswith("exceeded quota: defaults.user.scoped[2], requested: pods=1, used: pods=1")
    assert back.allowed


async def test_an_entry_of_ones_own_replaces_the_default_for_the_same_selector() -> None:
    own = "users: {alice: {scoped: [{scopes: [BestEffort], hard: {pods: 2}}]}}\n"
    webhook = Webhook(POLICY + own)

    answers = [await webhook.ask(best_effort(name)) for name in "abc"]

    assert [answer.allowed for answer in answers] == [True, True, False]
    assert answers[2].message.startswith("exceeded quota: users.alice.scoped[0]")


async def test_what_exists_counts_when_a_policy_first_names_a_scope() -> None:
    webhook = Webhook("version: 1\n")
    await webhook.ask(best_effort("a"))
    policy = Webhook(POLICY).policies.policy
    assert isinstance(policy, Policy)

    webhook.policies.policy = policy
    webhook.index.rebind(accounts_under(policy, webhook.namespaces.known), policy.devices)

    assert not (await webhook.ask(best_effort("b"))).allowed


async def test_groups_tenants_and_the_cluster_may_be_scoped() -> None:
    policy = (
        "version: 1\n"
        "groups:\n"
        "  ml:\n"
        "    perMember: {scoped: [{scopes: [BestEffort], hard: {pods: 1}}]}\n"
        "    pool: {scoped: [{scopes: [NotBestEffort], hard: {pods: 1}}]}\n"
        "combine: sum\n"
        "cluster: {scoped: [{scopes: [BestEffort], hard: {pods: 3}, mode: warn}]}\n"
    )
    webhook = Webhook(policy)

    def asked(review: Json) -> Json:
        review["request"]["userInfo"]["groups"] = ["ml"]
        return review

    assert (await webhook.ask(asked(best_effort("a")))).allowed
    assert "groups.ml.perMember.scoped[0]" in (await webhook.ask(asked(best_effort("b")))).message
    assert (await webhook.ask(asked(a_review(object=pod("c"))))).allowed
    assert "[NotBestEffort] group/ml" in (await webhook.ask(asked(a_review(object=pod("d"))))).message
