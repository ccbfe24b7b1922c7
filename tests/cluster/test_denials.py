"""What controllers are refused is told on top of what they made it for, and listed by `userquota denials`."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.cli.running import Ended, in_process
from tests.cluster.people import Person
from tests.cluster.platforms import NOTEBOOKS, makes_pods, set_policy
from tests.cluster.running import RunningWebhook, eventually
from tests.cluster.workloads import deployment, listed

Named = Callable[[str], Person]
POLICY = "version: 1\ndefaults: {user: {hard: {pods: 2}, perPod: {cpu: 400m}}}\n"
LARGEST = "defaults: {user: {perPod: {cpu: 400m}}}\n"


def told(running: RunningWebhook, place: str) -> list[dict[str, Any]]:
    """Return the Events that userquota has written in a namespace."""
    found = running.cluster.kubectl("get", "events", "-n", place, "-l", "userquota.dev/event=denial", "-o", "json")
    items: list[dict[str, Any]] = json.loads(found.stdout)["items"]
    return items


def objects(running: RunningWebhook, place: str) -> list[tuple[str, str, str]]:
    involved = [(each["involvedObject"], each["reason"]) for each in told(running, place)]
    return sorted((each["kind"], each["name"], reason) for each, reason in involved)


def refused_to_replica_sets(running: RunningWebhook, place: str) -> int:
    """Return how often Kubernetes itself has noted that a ReplicaSet did not get a pod."""
    return sum(each.get("count", 1) for each in listed(running, place, "events") if each["reason"] == "FailedCreate")


def test_a_deployment_of_which_one_pod_does_not_fit_has_one_event_however_often_it_is_tried(
    running: RunningWebhook, place: str, named: Named
) -> None:
    running.set_policy(POLICY)
    alice = named("alice")
    alice.create(json.dumps(deployment("web", replicas=3)))
    eventually(lambda: bool(told(running, place)), what=running.output)
    eventually(lambda: refused_to_replica_sets(running, place) >= 4)
    time.sleep(3)  # for a second Event, if there were one

    [event] = told(running, place)
    web = json.loads(alice.run("get", "deployment", "web", "-o", "json"))
    assert event["involvedObject"] == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "name": "web",
        "namespace": place,
        "uid": web["metadata"]["uid"],
    }
    assert (event["type"], event["reason"], event["source"]) == ("Warning", "QuotaExceeded", {"component": "userquota"})
    assert event["message"].startswith(
        "exceeded quota: defaults.user, requested: pods=1, used: pods=2, limited: pods=2"
    )
    assert event["metadata"]["annotations"] == {"userquota.dev/charged-to": alice.name}
    assert "exceeded quota: defaults.user" in alice.run("describe", "deployment", "web")


def test_the_count_is_told_once_a_minute(running: RunningWebhook, place: str, named: Named) -> None:
    running.set_policy(POLICY)
    named("alice").create(json.dumps(deployment("web", replicas=3)))
    eventually(lambda: bool(told(running, place)))
    [first] = told(running, place)

    eventually(lambda: told(running, place)[0]["count"] > first["count"], within=130)

    [second] = told(running, place)
    assert (second["metadata"]["uid"], second["firstTimestamp"]) == (first["metadata"]["uid"], first["firstTimestamp"])
    assert second["lastTimestamp"] > first["lastTimestamp"]


def test_a_pod_of_a_job_of_a_cron_job_is_told_on_the_cron_job(
    running: RunningWebhook, place: str, named: Named
) -> None:
    running.set_policy(POLICY)
    container = {"name": "main", "image": "example/x", "resources": {"requests": {"cpu": "1"}}}
    template = {"spec": {"containers": [container], "restartPolicy": "Never"}}
    spec = {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": template}}}
    body = {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "often"}, "spec": spec}
    named("alice").create(json.dumps(body))

    eventually(lambda: bool(told(running, place)), within=100, what=running.output)

    assert objects(running, place) == [("CronJob", "often", "NeverFits")]


def test_a_claim_of_a_stateful_set_is_told_on_it(running: RunningWebhook, place: str, named: Named) -> None:
    running.set_policy("version: 1\ndefaults: {user: {perClaim: {storage: 1Gi}}}\n")
    body = deployment("db")
    spec = body["spec"]
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}}
    spec |= {"serviceName": "db", "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": claim}]}
    named("alice").create(json.dumps({**body, "kind": "StatefulSet"}))

    eventually(lambda: bool(told(running, place)), what=running.output)

    assert objects(running, place) == [("StatefulSet", "db", "NeverFits")]


@pytest.mark.usefixtures("platforms")
def test_a_pod_of_a_session_is_told_on_the_session(running: RunningWebhook, place: str, named: Named) -> None:
    """The platform puts a sidecar into the pod that the notebook does not have."""
    set_policy(running, "version: 1\nsessions: {presets: PRESETS}\n" + LARGEST, NOTEBOOKS)
    container = {"name": "main", "image": "x", "resources": {"requests": {"cpu": "300m"}}}
    alice = named("alice")
    assert " created\n" in alice.create(NOTEBOOKS.object("mine", {"template": {"spec": {"containers": [container]}}}))

    template = {"containers": [container, {**container, "name": "sidecar"}]}
    assert " created\n" in makes_pods(
        running, place, NOTEBOOKS, "mine", template=template, labels={"notebook-name": "mine"}
    )
    eventually(lambda: bool(told(running, place)), what=running.output)

    assert objects(running, place) == [("Notebook", "mine", "NeverFits")]


def test_denials_are_listed_for_those_who_may_list_events(running: RunningWebhook, place: str, named: Named) -> None:
    running.set_policy(POLICY)
    alice = named("alice")
    alice.create(json.dumps(deployment("web", replicas=3)))
    eventually(lambda: bool(told(running, place)), what=running.output)

    def denials(*words: str, name: str) -> Ended:
        return in_process("denials", "--kubeconfig", str(running.cluster.kubeconfig("admin")), "--as", name, *words)

    seen = denials("-n", place, "--as-group", "people", "--since", "10m", "--reason", "QuotaExceeded", name=alice.name)
    row = re.split(r" {3,}", seen.out.splitlines()[1])
    assert row[2:6] == [place, "deployment/web", alice.name, "QuotaExceeded"]
    assert row[6].startswith("exceeded quota: defaults.user, requested: pods=1")
    refused = denials("-n", place, name="bob")
    assert (refused.code, refused.out) == (2, "")
    assert refused.err.startswith(f"userquota: you may not list Events in namespace {place}: ")


def test_whoever_creates_a_pod_themselves_is_answered_and_has_no_event(
    running: RunningWebhook, place: str, named: Named
) -> None:
    running.set_policy(POLICY)
    alice = named("alice")
    alice.create(json.dumps(deployment("web", replicas=2)))
    eventually(lambda: len(listed(running, place, "pods")) == 2)
    [owner] = listed(running, place, "replicasets")
    above = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": owner["metadata"]["name"], "controller": True}
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "mine"}, "spec": {"containers": []}}
    body["metadata"] = {"name": "mine", "ownerReferences": [{**above, "uid": owner["metadata"]["uid"]}]}
    body["spec"] = {"containers": [{"name": "main", "image": "example/x"}]}

    assert "exceeded quota" in alice.create(json.dumps(body))
    time.sleep(3)

    assert told(running, place) == []
