"""The judgement which changes are questions is that of LIQUID's own declarations, in Go."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from tests.liquid.broker import judged
from tests.liquid.scenes import changeset, commitment, request
from webhook.liquid.confirmation import requires_confirmation
from webhook.liquid.requests import read_changes
from webhook.quota.commitments import State

pytestmark = pytest.mark.go

STATUSES = [None, *(each.value for each in State)]


def some_changes(random: random.Random, uuid: int) -> tuple[dict[str, Any], int]:
    """Return changes of one resource whose sums are right, and the next free number for a uuid."""
    listed = []
    for _ in range(random.choice([1, 1, 2, 3])):
        old, new = random.choice(STATUSES), random.choice(STATUSES[1:])
        if random.random() < 0.3:
            old, new = new, old
        changed: dict[str, Any] = {"uuid": f"commitment-{uuid}", "oldStatus": old, "newStatus": new}
        changed["amount"] = random.choice([1, 2, 2, 10])
        if random.random() < 0.2:
            changed["oldExpiresAt"] = "2027-06-01T00:00:00Z"
        listed.append(commitment(**changed))
        uuid += 1
    sums = {}
    for state in ("confirmed", "guaranteed"):
        more = sum(each["amount"] for each in listed if each["newStatus"] == state)
        less = sum(each["amount"] for each in listed if each["oldStatus"] == state)
        before = less + random.choice([0, 0, 7])
        sums[state] = (before, before - less + more)
    return changeset(*listed, **sums), uuid


def test_the_same_changes_are_questions() -> None:
    chance = random.Random(20261130)  # noqa: S311 - the same changes in each run
    bodies: list[bytes] = []
    for _ in range(2000):
        by_project: dict[str, Any] = {}
        uuid = 0
        for project in range(chance.choice([1, 1, 2])):
            by_resource = {}
            for resource in range(chance.choice([1, 1, 2])):
                by_resource[f"r-{resource}"], uuid = some_changes(chance, uuid)
            by_project[f"p-{project}"] = {"byResource": by_resource}
        bodies.append(request(by_project))

    ours = [requires_confirmation(read_changes(each)) for each in bodies]

    assert ours == judged(*(json.loads(each) for each in bodies))
    assert 200 < sum(ours) < 1800
