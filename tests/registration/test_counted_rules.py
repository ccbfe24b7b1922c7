"""The webhooks for counted kinds: whose rules they have, what they copy, and when a rule is removed."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from tests.fakes import FakeClock
from webhook.registration import CountedResources, manifest_files, read_manifest
from webhook.registration.bundles import OVERLAP_SECONDS
from webhook.registration.counted_rules import COUNTED_MANAGER, CountedRules
from webhook.registration.forms import Write
from webhook.registration.live import LiveWebhook, parse
from webhook.registration.manifest import WebhookManifest

MUTATING, VALIDATING = (read_manifest(body) for body in manifest_files.webhook_configurations())
NAMES = {MUTATING.kind: "counts.mutate.userquota.dev", VALIDATING.kind: "counts.validate.userquota.dev"}
SERVICES, WIDGETS = "services", "widgets.example.com"


class Cluster:
    """Both configurations as the API server has them; `write` stores what is to be written."""

    def __init__(self) -> None:
        self.counted: CountedResources | None = CountedResources()
        self.clock = FakeClock()
        self.rules = self.another_replica()
        both = (MUTATING, VALIDATING)
        self.stored: dict[str, dict[str, Any]] = {each.kind: copy.deepcopy(dict(each.body)) for each in both}

    def another_replica(self) -> CountedRules:
        return CountedRules((MUTATING, VALIDATING), lambda: self.counted, self.clock.monotonic, seconds=OVERLAP_SECONDS)

    def found(self) -> dict[str, dict[str, LiveWebhook]]:
        return {kind: dict(parse(json.dumps(body).encode(), source=kind)) for kind, body in self.stored.items()}

    def write(self, rules: CountedRules | None = None) -> list[Write]:
        """Do what a look does; return what was written."""
        rules = rules or self.rules
        found, written = self.found(), []
        wanted = rules.wanted(found)
        for manifest in (MUTATING, VALIDATING):
            write = rules.write(manifest, found[manifest.kind], wanted)
            if write is not None:
                self._store(manifest, write)
                written.append(write)
        return written

    def _store(self, manifest: WebhookManifest, write: Write) -> None:
        others = [each for each in self.stored[manifest.kind]["webhooks"] if each["name"] != NAMES[manifest.kind]]
        webhooks = others + json.loads(write.body)["webhooks"]
        self.stored[manifest.kind] = {**self.stored[manifest.kind], "webhooks": webhooks}

    def entry(self, manifest: WebhookManifest) -> dict[str, Any] | None:
        listed = [each for each in self.stored[manifest.kind]["webhooks"] if each["name"] == NAMES[manifest.kind]]
        return listed[0] if listed else None

    def intercepted(self) -> list[str]:
        entry = self.entry(VALIDATING)
        return [] if entry is None else [each for rule in entry["rules"] for each in rule["resources"]]


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


def test_nothing_is_written_where_nothing_is_counted(cluster: Cluster) -> None:
    cluster.counted = CountedResources(kept=frozenset({SERVICES}))

    assert cluster.write() == [], "no rule before all objects are known: such a review could not be answered"


def test_what_is_known_is_intercepted_like_what_the_first_webhook_intercepts(cluster: Cluster) -> None:
    cluster.stored[VALIDATING.kind]["webhooks"][0] |= {"failurePolicy": "Ignore", "timeoutSeconds": 3}
    cluster.counted = CountedResources(required=frozenset({WIDGETS, SERVICES}))

    writes = cluster.write()

    assert [(each.webhooks, each.manager, each.force) for each in writes] == [
        ((NAMES[MUTATING.kind],), COUNTED_MANAGER, True),
        ((NAMES[VALIDATING.kind],), COUNTED_MANAGER, True),
    ]
    first, entry = cluster.stored[VALIDATING.kind]["webhooks"][0], cluster.entry(VALIDATING)
    assert entry is not None
    differing = {key for key in first.keys() | entry.keys() if first.get(key) != entry.get(key)}
    assert differing == {"name", "rules", "matchConditions"}
    assert [(each["apiGroups"], each["resources"]) for each in entry["rules"]] == [
        ([""], ["services", "services/status"]),
        (["example.com"], ["widgets", "widgets/status"]),
    ]
    [condition] = entry["matchConditions"]
    assert condition["name"] == "update-touches-who-pays"
    mutating = cluster.entry(MUTATING)
    assert mutating is not None
    assert [each["resources"] for each in mutating["rules"]] == [["services"], ["widgets"]]
    assert cluster.write() == []


def test_the_scale_of_sessions_is_intercepted_where_it_sets_their_size(cluster: Cluster) -> None:
    both = frozenset({SERVICES, WIDGETS})
    cluster.counted = CountedResources(required=both, changing=both, scaled=frozenset({WIDGETS}))
    cluster.write()
    assert cluster.intercepted() == ["services", "services/status", "widgets", "widgets/status", "widgets/scale"]
    mutating = cluster.entry(MUTATING)
    assert mutating is not None
    assert [each["resources"] for each in mutating["rules"]] == [["services"], ["widgets"]]


def test_a_change_of_the_first_webhook_is_copied(cluster: Cluster) -> None:
    cluster.counted = CountedResources(required=frozenset({SERVICES}))
    cluster.write()
    exempt = {"matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["new"]}]}
    cluster.stored[VALIDATING.kind]["webhooks"][0] |= {"namespaceSelector": exempt}

    assert len(cluster.write()) == 1

    entry = cluster.entry(VALIDATING)
    assert entry is not None
    assert entry["namespaceSelector"] == exempt


def test_a_rule_of_others_stays_while_a_policy_limits_it(cluster: Cluster) -> None:
    """A replica that has just started knows no objects yet."""
    cluster.counted = CountedResources(required=frozenset({SERVICES}))
    cluster.write()

    cluster.counted = CountedResources(kept=frozenset({SERVICES}))

    for _ in range(3):
        cluster.clock.pass_by(OVERLAP_SECONDS)
        assert cluster.write(cluster.rules) == []


def test_without_a_policy_no_rule_is_removed(cluster: Cluster) -> None:
    """A mistake at a start of all replicas: nobody knows what is limited, and a limit must not be lifted by that."""
    cluster.counted = CountedResources(required=frozenset({SERVICES}))
    cluster.write()

    cluster.counted = None

    for _ in range(3):
        cluster.clock.pass_by(OVERLAP_SECONDS)
        assert cluster.write() == []
    assert cluster.intercepted() == ["services", "services/status"]


def test_a_replica_that_knows_no_policy_yet_makes_no_webhook_deaf_to_starts_of_sessions(cluster: Cluster) -> None:
    """It did: each replica that started did so for a moment, in which starts passed without being counted."""
    sessions = frozenset({WIDGETS})
    cluster.counted = CountedResources(required=sessions, kept=sessions, changing=sessions, scaled=sessions)
    cluster.write()

    cluster.counted = None
    assert cluster.write(cluster.another_replica()) == []

    cluster.stored[VALIDATING.kind]["webhooks"][0] |= {"timeoutSeconds": 3}
    assert len(cluster.write(cluster.another_replica())) == 1, "the rest is copied all the same"
    validating = cluster.entry(VALIDATING)
    assert validating is not None
    assert "in ['widgets.example.com'] &&" in validating["matchConditions"][0]["expression"]
    assert cluster.intercepted() == ["widgets", "widgets/status", "widgets/scale"]


@pytest.mark.parametrize("known", [frozenset[str](), frozenset({WIDGETS})], ids=["not limited", "only counted"])
def test_a_replica_with_an_older_policy_makes_no_webhook_deaf_to_starts_of_sessions(
    cluster: Cluster, known: frozenset[str]
) -> None:
    sessions = frozenset({WIDGETS})
    cluster.counted = CountedResources(required=sessions, kept=sessions, changing=sessions, scaled=sessions)
    cluster.write()

    older = cluster.another_replica()
    cluster.counted = CountedResources(required=known, kept=known)
    assert cluster.write(older) == []
    cluster.clock.pass_by(OVERLAP_SECONDS - 1)
    assert cluster.write(older) == []

    cluster.clock.pass_by(1)
    assert len(cluster.write(older)) == 2, "it was no older one"
    assert cluster.intercepted() == [f"{each}{sub}" for each in ["widgets"] * len(known) for sub in ("", "/status")]


def test_a_rule_that_no_policy_wants_is_removed_later(cluster: Cluster) -> None:
    cluster.counted = CountedResources(required=frozenset({SERVICES, WIDGETS}))
    cluster.write()

    cluster.counted = CountedResources(required=frozenset({WIDGETS}), kept=frozenset({WIDGETS}))
    assert cluster.write() == [], "another replica may not know the new policy yet"
    cluster.clock.pass_by(OVERLAP_SECONDS - 1)
    assert cluster.write() == []
    cluster.clock.pass_by(1)
    assert len(cluster.write()) == 2
    assert cluster.intercepted() == ["widgets", "widgets/status"]

    cluster.counted = CountedResources()
    cluster.write()
    cluster.clock.pass_by(OVERLAP_SECONDS)
    assert [json.loads(each.body)["webhooks"] for each in cluster.write()] == [[], []]
    assert cluster.intercepted() == []


def test_a_rule_that_comes_back_is_given_its_time_anew(cluster: Cluster) -> None:
    cluster.counted = CountedResources(required=frozenset({SERVICES}))
    cluster.write()
    cluster.counted = CountedResources()
    cluster.write()
    cluster.clock.pass_by(OVERLAP_SECONDS)
    cluster.write()
    assert cluster.intercepted() == []

    cluster.counted = CountedResources(required=frozenset({SERVICES}))
    cluster.write(cluster.another_replica())
    cluster.counted = CountedResources()

    assert cluster.write() == []
    assert cluster.intercepted() == ["services", "services/status"]


def test_of_sessions_updates_are_heard_that_change_more_than_the_status(cluster: Cluster) -> None:
    cluster.counted = CountedResources(required=frozenset({WIDGETS, SERVICES}), changing=frozenset({WIDGETS, "gone.x"}))

    cluster.write()

    validating, mutating = cluster.entry(VALIDATING), cluster.entry(MUTATING)
    assert validating is not None
    assert mutating is not None
    [heard] = validating["matchConditions"]
    assert mutating["matchConditions"] == [heard], "who takes a session over is stamped by the mutating call"
    assert heard["expression"].startswith("(request.operation != 'UPDATE'")
    assert "object.?metadata.?ownerReferences != oldObject.?metadata.?ownerReferences" in heard["expression"]
    assert "in ['widgets.example.com'] &&" in heard["expression"]
    assert cluster.write() == []
