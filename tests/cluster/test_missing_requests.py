"""Missing requests on a real API server: refused, filled in beside its own defaults and LimitRanges, and charged."""

from __future__ import annotations

import json
from typing import Any

from tests.admission.asking import Json
from tests.cluster.running import RunningWebhook, eventually
from tests.cluster.test_who_pays import get, run

POLICY = """\
version: 1
missing: {cpu: require, memory: {default: 256Mi}, limits.memory: {default: 1Gi}}
defaults: {user: {hard: {cpu: 4, memory: 2Gi}}}
"""

LIMIT_RANGE = """\
apiVersion: v1
kind: LimitRange
metadata: {name: bounds}
spec:
  limits:
    - type: Container
      defaultRequest: {memory: 100Mi}
      maxLimitRequestRatio: {memory: "2"}
"""


def create(
    running: RunningWebhook, place: str, name: str, *containers: Json, dry_run: bool = False, **spec: Any
) -> str:
    """Create a pod as alice, with containers that are called a, b, ..."""
    listed = [{"name": "abc"[at], "image": "example/x", "resources": each} for at, each in enumerate(containers)]
    document = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": listed, **spec}}
    words = ("--dry-run=server", "-o", "json") if dry_run else ()
    return run(running, place, "create", "-f", "-", *words, user="alice", stdin=json.dumps(document))


def resources(running: RunningWebhook, place: str, name: str) -> list[Json]:
    stored: Any = get(running, place, "pod", name)
    return [each["resources"] for each in stored["spec"]["containers"]]


def test_what_is_missing_is_refused_or_filled_in(running: RunningWebhook, place: str) -> None:
    cpu = {"requests": {"cpu": "100m"}}
    running.set_policy(POLICY)

    assert "must specify requests.cpu for: b; limited: requests.cpu=4; each" in create(running, place, "x", cpu, {})
    refused = create(running, place, "x", {}, resources={"requests": {"memory": "64Mi"}})
    assert "must specify requests.cpu for: a;" in refused
    refused = create(running, place, "x", cpu, {}, resources={"requests": {"memory": "64Mi"}})
    assert "must specify requests.cpu for: b;" in refused
    assert "created" in create(running, place, "level", {}, {}, resources={"requests": {"cpu": "1", "memory": "1Mi"}})
    assert resources(running, place, "level") == [{}, {}]

    assert "created" in create(running, place, "filled", cpu, {**cpu, "limits": {"memory": "64Mi"}})
    assert resources(running, place, "filled") == [
        {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}},
        {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "64Mi"}},
    ]
    assert "used: requests.memory=321Mi" in create(running, place, "x", {"requests": {"cpu": "1", "memory": "2Gi"}})

    running.cluster.kubectl("create", "-n", place, "-f", "-", stdin=LIMIT_RANGE)
    bounded = [{"requests": {"cpu": "100m", "memory": "100Mi"}, "limits": {"memory": "200Mi"}}]
    eventually(lambda: _would_be(running, place, cpu) == bounded, what=lambda: str(_would_be(running, place, cpu)))


def _would_be(running: RunningWebhook, place: str, *containers: Json) -> list[Json] | str:
    """Return what a dry run would store, or the refusal. LimitRanger and the webhook see a new LimitRange soon."""
    answer = create(running, place, "bounded", *containers, dry_run=True)
    if not answer.startswith("{"):
        return answer
    return [each["resources"] for each in json.loads(answer)["spec"]["containers"]]
