"""The webhook for edits of what another person owns: when it is there, and what it copies."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.fakes import FakeClock
from webhook.kinds.workloads import WORKLOADS
from webhook.registration import manifest_files, read_manifest
from webhook.registration.bundles import OVERLAP_SECONDS
from webhook.registration.edit_rules import EDITS_MANAGER, NAME, EditRules
from webhook.registration.live import parse

MUTATING, VALIDATING = (read_manifest(body) for body in manifest_files.webhook_configurations())


class Cluster:
    """The mutating configuration as the API server has it; `look` stores what is to be written."""

    def __init__(self) -> None:
        self.wanted: bool | None = False
        self.clock = FakeClock()
        self.rules = EditRules(lambda: self.wanted, self.clock.monotonic, seconds=OVERLAP_SECONDS)
        self.webhooks: list[dict[str, Any]] = [dict(each) for each in MUTATING.body["webhooks"]]

    def look(self) -> bool:
        """Return whether anything was written."""
        found = parse(json.dumps({"webhooks": self.webhooks}).encode(), source="x")
        assert self.rules.write(VALIDATING, found) is None
        write = self.rules.write(MUTATING, found)
        if write is None:
            return False
        assert (write.webhooks, write.manager, write.force) == ((NAME,), EDITS_MANAGER, True)
        self.webhooks = [each for each in self.webhooks if each["name"] != NAME] + json.loads(write.body)["webhooks"]
        return True

    @property
    def entry(self) -> dict[str, Any] | None:
        return next((each for each in self.webhooks if each["name"] == NAME), None)


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.mark.parametrize("wanted", [False, None])
def test_nothing_is_written_where_the_maker_pays_or_nobody_knows(cluster: Cluster, *, wanted: bool | None) -> None:
    cluster.wanted = wanted
    assert not cluster.look()


def test_it_is_a_copy_of_the_first_one_for_updates_of_all_workloads(cluster: Cluster) -> None:
    cluster.wanted = True
    cluster.webhooks[0] |= {"failurePolicy": "Ignore", "timeoutSeconds": 3}
    assert cluster.look()
    assert not cluster.look()

    first, entry = cluster.webhooks[0], cluster.entry
    assert entry is not None
    differing = {key for key in first.keys() | entry.keys() if first.get(key) != entry.get(key)}
    assert differing == {"name", "rules", "matchConditions"}
    rules = {
        f"{each['resources'][0]}.{each['apiGroups'][0]}".rstrip("."): each["operations"] for each in entry["rules"]
    }
    assert rules == {each.resource: ["UPDATE"] for each in WORKLOADS}

    cluster.webhooks[0] |= {"timeoutSeconds": 5}
    assert cluster.look()


def test_it_is_removed_some_time_after_the_policy_wants_it_no_more(cluster: Cluster) -> None:
    cluster.wanted = True
    cluster.look()
    cluster.wanted = False
    assert not cluster.look()
    cluster.clock.pass_by(OVERLAP_SECONDS - 1)
    assert not cluster.look()
    cluster.wanted = None
    cluster.clock.pass_by(2)
    assert not cluster.look()
    cluster.wanted = False
    assert cluster.look()
    assert cluster.entry is None


def test_the_time_begins_anew_when_it_is_wanted_again(cluster: Cluster) -> None:
    cluster.wanted = True
    cluster.look()
    for wanted in (False, True, False):
        cluster.wanted = wanted
        cluster.clock.pass_by(OVERLAP_SECONDS - 1)
        assert not cluster.look()


def test_it_is_found_among_what_the_api_has(cluster: Cluster) -> None:
    cluster.wanted = True
    cluster.look()
    found = parse(json.dumps({"webhooks": cluster.webhooks}).encode(), source="x")
    assert [each.name for each in cluster.rules.present({"a": found, "b": None})] == [NAME]
