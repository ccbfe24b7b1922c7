"""Every difference between two policies is told, and none that is one of places only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields

import pytest

from webhook.documents.policy_text import PolicyText, read_policy
from webhook.documents.step_by_step import at_once
from webhook.quota.policy import Policy
from webhook.quota.policy_changes import ChangedNames, Difference, PolicyChanges, changes_between, names_changed


def policy(text: str, source: str = "p.yaml") -> Policy:
    found = read_policy([PolicyText(source, f"version: 1\n{text}")])
    assert found.policy is not None, found.mistakes
    return found.policy


def told(before: str, after: str) -> PolicyChanges:
    was, new = policy(before, "old.yaml"), policy(after, "new.yaml")
    changes, names = changes_between(was, new), at_once(names_changed(was, new))
    words = ("added", "changed", "removed")
    told = {word: tuple(each.entry for each in changes.entries if each.change == word) for word in words}
    assert names == ChangedNames(**told, settings=tuple(each.what for each in changes.settings))
    return changes


def lines(differences: Iterable[Difference]) -> list[str]:
    return [f"{each.what}: {each.before} -> {each.after}" for each in differences]


def test_places_alone_are_no_difference() -> None:
    text = "users: {alice: {hard: {cpu: 1}}}\nexempt: [{user: eve, reason: x}]\n"
    assert told(text, f"# moved\n\n{text}") == PolicyChanges()


def test_an_entry_that_is_added_removed_or_changed_is_told_with_its_places() -> None:
    before = "users:\n  alice: {hard: {cpu: 1}}\n  bob: {hard: {cpu: 1}}\n"
    after = "users:\n  carol: {mode: warn, hard: {cpu: unlimited}, perPod: {memory: 1Gi}}\n\n  bob: {hard: {pods: 2}}\n"
    found = [(each.change, each.entry, each.before, each.after) for each in told(before, after).entries]
    assert found == [
        ("removed", "users.alice", "old.yaml:3", ""),
        ("changed", "users.bob", "old.yaml:4", "new.yaml:5"),
        ("added", "users.carol", "", "new.yaml:3"),
    ]
    alice, bob, carol = (lines(each.differences) for each in told(before, after).entries)
    assert alice == ["hard.requests.cpu: 1 -> None"]
    assert bob == ["hard.pods: None -> 2", "hard.requests.cpu: 1 -> None"]
    assert carol == [
        "hard.requests.cpu: None -> unlimited",
        "mode: enforce -> warn",
        "perPod.requests.memory: None -> 1Gi",
    ]


def test_an_entry_that_says_nothing_is_told_too() -> None:
    (found,) = told("", "users: {alice: {}}").entries
    assert (found.change, found.entry, found.differences) == ("added", "users.alice", ())


def test_entries_inside_others_are_known_by_what_they_select() -> None:
    one, other = "{scopes: [BestEffort], hard: {pods: 1}}", "{scopes: [NotBestEffort], hard: {pods: 2}}"
    around = "cluster: {{scoped: [{}]}}\n"
    assert told(around.format(f"{one}, {other}"), around.format(f"{other}, {one}")) == PolicyChanges()
    (found,) = told(around.format(f"{one}, {other}"), around.format(f"{other}, {one.replace('1', '3')}")).entries
    assert (found.entry, lines(found.differences)) == ("cluster.scoped[BestEffort]", ["hard.pods: 1 -> 3"])


SETTINGS = {
    "combine: max": "combine: most-restrictive -> max",
    "terminating: hold": "terminating: release -> hold",
    "serviceAccountLimits: perAccount": "serviceAccountLimits: perNamespace -> perAccount",
    "missing: {cpu: {default: 100m}}": "missing[requests.cpu]: None -> 100m",
    "missing: {cpu: require}": "missing[requests.cpu]: None -> require",
    "resources: {gpu: {example.com/gpu: 1/4}}": "resources.gpu[example.com/gpu]: None -> 1/4",
    "exempt: [{group: a, reason: b}]": "exempt[group a]: None -> b",
    "exempt: [{group: a, reason: b, until: 2027-01-31T00:00:00Z}]": (
        "exempt[group a]: None -> b, until 2027-01-31T00:00:00+00:00"
    ),
    "attribution: {trustedControllers: [a/b]}": (
        "attribution.trustedControllers[system:serviceaccount:a:b]: None -> listed"
    ),
    "attribution: {restorers: [a/b]}": "attribution.restorers[system:serviceaccount:a:b]: None -> listed",
    "attribution: {delegates: [{user: hub, owner: [{label: x}]}]}": "attribution.delegates[hub]: None -> ",
    "attribution: {namespaceOwners: [{namespaceLabel: x}]}": "attribution.namespaceOwners: None -> ",
    "attribution: {payer: lastEditor}": "attribution.payer: maker -> lastEditor",
    "attribution: {groupObjects: openshift}": "attribution.groupObjects: None -> openshift",
    "sessions: {presets: [raycluster]}": "sessions.presets[raycluster]: None -> ",
    "sessions: {count: running}": "sessions.count: all -> running",
    "sessions: {categories: {Large: {memory: 1Gi, cpu: 8}}}": (
        "sessions.categories[large]: None -> requests.cpu=8,requests.memory=1Gi"
    ),
}


@pytest.mark.parametrize(("text", "difference"), SETTINGS.items())
def test_a_setting_is_told(text: str, difference: str) -> None:
    found = told("", text)
    assert (found.entries, lines(found.settings)) == ((), [difference])


def test_what_groups_and_tenants_say_beside_their_entries_is_told() -> None:
    group = "groups: {{ml: {{pool: {{hard: {{cpu: 1}}}}, membership: {}, members: [{}]}}}}\n"
    found = told(group.format("creation", "a, b"), group.format("live", "b, c"))
    assert found.entries == ()
    assert lines(found.settings) == [
        "groups.ml.members[a]: listed -> None",
        "groups.ml.members[c]: None -> listed",
        "groups.ml.membership: creation -> live",
    ]
    tenant = "tenants: {{t: {{namespaces: {{matchLabels: {{team: {}}}}}, hard: {{cpu: 1}}}}}}\n"
    assert lines(told(tenant.format("a"), tenant.format("b")).settings) == ["tenants.t.namespaces: team=a -> team=b"]


def test_a_share_at_which_people_are_warned_is_told_as_it_is_written() -> None:
    assert lines(told("warnAt: 80%", "").settings) == ["warnAt: 80% -> off"]


def test_another_tier_is_told_once_and_not_of_everybody_who_has_it() -> None:
    text = "tiers: {{pro: {{hard: {{cpu: {}}}}}, std: {{}}}}\nusers: {{alice: {{tier: {}}}, bob: {{tier: pro}}}}\n"
    found = {each.entry: lines(each.differences) for each in told(text.format(1, "std"), text.format(2, "pro")).entries}
    assert found == {"tiers.pro": ["hard.requests.cpu: 1 -> 2"], "users.alice": ["tier: std -> pro"]}


def test_a_window_is_told_by_its_times_and_amounts() -> None:
    text = "users: {{alice: {{windows: [{{days: [sat], from: '20:00', to: '{}', zone: UTC, hard: {{cpu: {}}}}}]}}}}\n"
    (found,) = told(text.format("06:00", 1), text.format("07:00", 2)).entries
    assert (found.entry, lines(found.differences)) == (
        "users.alice.windows[0]",
        ["hard.requests.cpu: 1 -> 2", "window: sat 20:00-06:00 UTC -> sat 20:00-07:00 UTC"],
    )


def test_another_order_of_classes_is_told_because_a_node_is_of_the_first() -> None:
    one, other = "a: {nodes: {matchLabels: {k: v}}}", "b: {nodes: {matchLabels: {k: w}}, default: true}"
    found = told(f"nodeClasses: {{{one}, {other}}}", f"nodeClasses: {{{other}, {one}}}")
    assert lines(found.settings) == [
        "nodeClasses[a]: k=v (place 1) -> k=v (place 2)",
        "nodeClasses[b]: k=w; default (place 2) -> k=w; default (place 1)",
    ]


def test_other_tags_are_told() -> None:
    found = told("tags: [team]", "tags: [team, example.com/app]").settings
    assert lines(found) == ["tags: team -> team, example.com/app"]


def test_a_second_exemption_of_the_same_is_told() -> None:
    one, two = "{user: a, reason: b, until: 2027-01-31T00:00:00Z}", "{user: a, reason: c}"
    (found,) = told(f"exempt: [{one}]", f"exempt: [{one}, {two}]").settings
    assert found.after == "b, until 2027-01-31T00:00:00+00:00; c"


FIELDS = {
    "rules": "rules: [{name: a, users: [b], hard: {cpu: 1}}]",
    "defaults": "defaults: {user: {hard: {cpu: 1}}}",
    "users": "users: {a: {hard: {cpu: 1}}}",
    "service_accounts": "serviceAccounts: {a/b: {hard: {cpu: 1}}}",
    "groups": "groups: {a: {perMember: {hard: {cpu: 1}}}}",
    "tenants": "tenants: {a: {namespaces: {matchLabels: {b: c}}}}",
    "namespaces": "namespaces: {a: {hard: {cpu: 1}}}",
    "cluster": "cluster: {hard: {cpu: 1}}",
    "combine": "combine: sum",
    "terminating": "terminating: hold",
    "reserve": "reserve: [autoscalers]",
    "tags": "tags: [team]",
    "account_limits": "serviceAccountLimits: perAccount",
    "trusted_controllers": "attribution: {trustedControllers: [a/b]}",
    "devices": "resources: {gpu: {example.com/gpu: 1/4}}",
    "missing": "missing: {cpu: require}",
    "exemptions": "exempt: [{group: a, reason: b}]",
    "restorers": "attribution: {restorers: [a/b]}",
    "delegates": "attribution: {delegates: [{user: hub, owner: [{label: x}]}]}",
    "namespace_owners": "attribution: {namespaceOwners: [{namespaceLabel: x}]}",
    "workload_payer": "attribution: {payer: lastEditor}",
    "presets": "sessions: {presets: [raycluster]}",
    "session_count": "sessions: {count: running}",
    "categories": "sessions: {categories: {large: {cpu: 8}}}",
    "group_objects": "attribution: {groupObjects: openshift}",
    "warn_at": "warnAt: 80%",
    "catalogue": "resources: {cpu: {unit: cores}}",
    "catalogue_defaults": "resources: {cpu: {default: 4}}",
    "tiers": "tiers: {pro: {hard: {cpu: 1}}}",
    "class_entries": "nodeClasses: {a: {nodes: {matchLabels: {b: c}}, mode: warn}}",
    "commitments": (
        "nodeClasses: {a: {nodes: {matchLabels: {b: c}}}}\ncommitments: {c: {user: u, nodeClass: a, amounts: {gpu: 1}}}"
    ),
    "class_terms": (
        "nodeClasses: {a: {nodes: {matchLabels: {b: c}}, commitments: false, unit: {cpu: 2, gpu: 1}, shape: fixed}}"
    ),
    "node_classes": "nodeClasses: {a: {nodes: {matchLabels: {b: c}}}}",
}


def test_no_field_of_a_policy_is_left_out() -> None:
    compared = [each.name for each in fields(Policy) if each.compare]
    assert sorted(FIELDS) == sorted(compared)
    silent = [name for name, text in FIELDS.items() if told("", text) == PolicyChanges()]
    assert silent == []
    unlike = [name for name, text in FIELDS.items() if getattr(policy(text), name) == getattr(policy(""), name)]
    assert unlike == []
