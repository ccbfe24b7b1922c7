"""Whose limits fall and rise from one policy to another, by the limits that are in force for them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime

import pytest

from webhook.documents.policy_text import PolicyText, read_policy
from webhook.quota.effective import changed_limits
from webhook.quota.lifted import lifted_entries
from webhook.quota.policy import Policy
from webhook.quota.resources import show
from webhook.quota.subject import NOBODY, Payer

NOW = datetime(2026, 12, 1, tzinfo=UTC)
CPU = "requests.cpu"


def policy(text: str) -> Policy:
    found = read_policy([PolicyText("p.yaml", f"version: 1\n{text}")])
    assert found.policy is not None, found.mistakes
    return found.policy


def changed(
    before: str,
    after: str,
    used_by: Collection[tuple[Payer, str]] = (),
    labels: Mapping[str, Mapping[str, str]] | None = None,
) -> dict[str, str]:
    """Return what changes, as `before -> after`, by whom, resource and cap."""
    found = changed_limits(
        policy(before), policy(after), NOW, used_by=used_by, labels_of=lambda name: (labels or {}).get(name, {})
    )
    sides = {
        " ".join(filter(None, (each.bound.whom, each.bound.resource, each.bound.cap))): (each.before, each.after)
        for each in found
    }
    return {
        what: " -> ".join("none" if each is None else show(each.resource, each.hard) for each in both)
        for what, both in sides.items()
    }


DEFAULT = "defaults: {{user: {{hard: {{cpu: {}}}}}}}\n"


def test_what_stays_is_not_told() -> None:
    text = DEFAULT.format(2) + "users: {alice: {hard: {cpu: 4}}}\ncluster: {hard: {cpu: 9}}\n"
    assert changed(text, text) == {}


def test_a_default_reaches_those_whose_entry_does_not_say_otherwise() -> None:
    users = "users: {alice: {hard: {cpu: 4}}, bob: {hard: {pods: 4}}}\n"
    assert changed(DEFAULT.format(3) + users, DEFAULT.format(2) + users) == {
        "any other user requests.cpu": "3 -> 2",
        "user/bob requests.cpu": "3 -> 2",
    }


def test_an_entry_that_goes_leaves_the_default() -> None:
    users = "users: {alice: {hard: {cpu: 4, pods: 7}}}\n"
    assert changed(DEFAULT.format(3) + users, DEFAULT.format(3)) == {
        "user/alice requests.cpu": "4 -> 3",
        "user/alice pods": "7 -> none",
    }


def test_unlimited_and_trial_modes_are_no_limit() -> None:
    for entry in ("{hard: {cpu: unlimited}}", "{mode: warn, hard: {cpu: 1}}", "{mode: audit, hard: {cpu: 1}}"):
        assert changed(DEFAULT.format(3), DEFAULT.format(3) + f"users: {{alice: {entry}}}\n") == {
            "user/alice requests.cpu": "3 -> none"
        }


def test_an_entry_whose_time_is_over_is_none() -> None:
    entry = "users: {alice: {until: 2026-12-01T00:00:00Z, hard: {cpu: 1}}}\n"
    assert changed(DEFAULT.format(3), DEFAULT.format(3) + entry) == {}


MEMBER = "groups: {{ml: {{perMember: {{hard: {{cpu: {}}}}}, members: [eve]}}}}\n"


def test_a_cap_of_members_binds_those_who_are_listed_and_further_ones() -> None:
    assert changed(DEFAULT.format(3), DEFAULT.format(3) + MEMBER.format(2)) == {
        "any other member of ml requests.cpu": "3 -> 2",
        "user/eve requests.cpu": "3 -> 2",
    }
    more = "combine: max\n" + DEFAULT.format(3) + MEMBER.format(8)
    assert changed(DEFAULT.format(3), more) == {
        "any other member of ml requests.cpu": "3 -> 8",
        "user/eve requests.cpu": "3 -> 8",
    }


def test_who_uses_something_is_asked_about_with_their_groups() -> None:
    used_by = [(Payer("alice", ("ml",)), "red"), (NOBODY, "red")]
    assert "user/alice requests.cpu" not in changed(DEFAULT.format(3), DEFAULT.format(3) + MEMBER.format(2))
    found = changed(DEFAULT.format(3), DEFAULT.format(3) + MEMBER.format(2), used_by)
    assert found["user/alice requests.cpu"] == "3 -> 2"


def test_service_accounts_and_what_nobody_owns() -> None:
    text = "serviceAccounts: {{a/b: {{hard: {{cpu: {0}}}}}}}\ndefaults: {{serviceAccount: {{hard: {{cpu: {1}}}}}, "
    text += "unattributed: {{hard: {{cpu: {2}}}}}}}\n"
    assert changed(text.format(1, 2, 3), text.format(4, 5, 6)) == {
        "service account a/b requests.cpu": "1 -> 4",
        "any other service account requests.cpu": "2 -> 5",
        "what nobody owns requests.cpu": "3 -> 6",
    }


def test_pools_tenants_namespaces_and_the_cluster() -> None:
    text = (
        "groups: {{ml: {{pool: {{hard: {{cpu: {0}}}}}}}}}\nnamespaces: {{red: {{hard: {{cpu: {0}}}}}}}\n"
        "cluster: {{hard: {{cpu: {0}}}}}\ntenants: {{t: {{namespaces: {{matchLabels: {{team: {0}a}}}}, "
        "hard: {{cpu: {0}}}, perNamespace: {{hard: {{cpu: {0}}}}}}}}}\n"
    )
    assert changed(text.format(1), text.format(2)) == {
        "cluster requests.cpu": "1 -> 2",
        "group/ml requests.cpu": "1 -> 2",
        "namespace/(each of t) requests.cpu": "1 -> 2",
        "namespace/red requests.cpu": "1 -> 2",
        "tenant/t requests.cpu": "1 -> 2",
    }


def test_a_namespace_that_is_used_has_its_tenant() -> None:
    tenant = "tenants: {t: {namespaces: {matchLabels: {team: a}}, perNamespace: {hard: {cpu: 1}}}}\n"
    found = changed("", tenant, [(Payer("alice"), "red"), (Payer("alice"), "blue")], {"red": {"team": "a"}})
    assert found == {"namespace/(each of t) requests.cpu": "none -> 1", "namespace/red requests.cpu": "none -> 1"}


def test_caps_are_told_of_whom_they_bind() -> None:
    text = (
        "defaults: {{user: {{perPod: {{cpu: {0}}}}}}}\ncluster: {{perPod: {{cpu: {0}}}}}\n"
        'namespaces: {{red: {{perPod: {{cpu: {0}}}}}}}\ntenants: {{"a.b": {{namespaces: {{matchLabels: {{c: d}}}}, '
        "perClaim: {{storage: {0}}}, perNamespace: {{perPod: {{cpu: {0}}}}}}}}}\n"
    )
    assert changed(text.format(2), text.format(1)) == {
        "any other user requests.cpu perPod": "2 -> 1",
        "cluster requests.cpu perPod": "2 -> 1",
        "namespace/(each of a.b) requests.cpu perPod": "2 -> 1",
        "namespace/red requests.cpu perPod": "2 -> 1",
        "tenant/a.b requests.storage perClaim": "2 -> 1",
    }


def test_limits_on_a_part_are_told_whatever_the_part() -> None:
    text = "defaults: {{user: {{scoped: [{{scopes: [BestEffort], hard: {{pods: {0}}}}}]}}}}\n"
    text += "cluster: {{scoped: [{{scopes: [Terminating], hard: {{pods: {0}}}}}]}}\n"
    assert changed(text.format(1), text.format(2)) == {
        "[BestEffort] any other user pods": "1 -> 2",
        "[Terminating] cluster pods": "1 -> 2",
    }


@pytest.mark.parametrize("whom", ["user: alice", "group: ml"])
def test_who_is_exempt_has_no_limits_of_their_own(whom: str) -> None:
    text = DEFAULT.format(3) + "users: {alice: {hard: {cpu: 1}}}\ngroups: {ml: {pool: {hard: {cpu: 5}}}}\n"
    found = changed(text, text + f"exempt: [{{{whom}, reason: x}}]\n", [(Payer("alice", ("ml",)), "red")])
    expected = {"user/alice requests.cpu": "1 -> none"}
    if whom.startswith("group"):
        expected["any other member of ml requests.cpu"] = "3 -> none"
    assert found == expected


@pytest.mark.parametrize(
    ("before", "after", "told", "is_stricter"),
    [
        ("cpu: 1", "cpu: 2", "1 -> 2", True),
        ("cpu: 2", "cpu: 1", "2 -> 1", False),
        ("cpu: 1", "cpu: 0", "1 -> none", False),
        ("", "cpu: 1", "none -> 1", True),
    ],
)
def test_a_larger_minimum_is_stricter(before: str, after: str, told: str, *, is_stricter: bool) -> None:
    old, new = (f"defaults: {{user: {{minPerPod: {{{each}}}}}}}\n" for each in (before, after))
    assert changed(old, new) == {"any other user requests.cpu minPerPod": told}
    [change] = changed_limits(policy(old), policy(new), NOW, labels_of=lambda _: {})
    assert change.is_stricter is is_stricter
    was, is_now = policy(old), policy(new)
    steps = lifted_entries(was, is_now, NOW)
    with pytest.raises(StopIteration) as ended:
        next(steps)
    assert bool(ended.value.value) is told.endswith("none")


TIER = "tiers: {{pro: {{hard: {{cpu: {0}}}, perPod: {{cpu: {0}}}}}}}\n"
TENANT = "tenants: {t: {namespaces: {matchLabels: {team: t}}, tier: pro}}\n"


@pytest.mark.parametrize(
    ("bound", "whom"),
    [
        ("users: {alice: {tier: pro}}", "user/alice"),
        ("cluster: {tier: pro}", "cluster"),
        (TENANT, "tenant/t"),
        ("namespaces: {red: {tier: pro}}", "namespace/red"),
    ],
)
def test_a_lower_tier_reaches_all_that_have_it(bound: str, whom: str) -> None:
    found = changed(TIER.format(8) + bound, TIER.format(6) + bound)
    assert found == {f"{whom} {CPU}": "8 -> 6", f"{whom} {CPU} perPod": "8 -> 6"}
