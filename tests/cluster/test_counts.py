"""Objects that cost nothing but their number, on a real API server: from the moment a policy limits it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from tests.cluster.people import Person
from tests.cluster.running import RunningWebhook, eventually
from tests.cluster.test_main_job import events
from tests.cluster.test_who_pays import OWNER, run, stamped
from tests.kinds.test_a_new_kind import definition

Named = Callable[[str], Person]

FREE = "version: 1\ndefaults: {user: {hard: {pods: 10}}}\n"
LIMITED = (
    "version: 1\n"
    "defaults: {user: {hard: {count/deployments.apps: 2, count/replicasets.apps: 2, count/cronjobs.batch: 0}}}\n"
)
REFUSED = "exceeded quota: defaults.user, requested: count/deployments.apps=1, used: count/deployments.apps=2"


def create(person: Person, name: str) -> str:
    """Create a deployment; a kind that is limited only since a moment ago is answered with 503 until it is known."""
    answers: list[str] = []

    def is_answered() -> bool:
        answers.append(person.run("create", "deployment", name, "--image=example/x"))
        return "not all known yet" not in answers[-1]

    eventually(is_answered)
    return answers[-1]


def test_deployments_are_counted_from_the_moment_a_policy_limits_them(running: RunningWebhook, named: Named) -> None:
    alice, bob = named("alice"), named("bob")
    running.set_policy(FREE)
    assert " created\n" in create(alice, "older")
    running.set_policy(LIMITED)

    assert " created\n" in create(alice, "second")
    refused = create(alice, "third")
    assert REFUSED in refused
    told = f"would fit: nothing until one of the deployments.apps is deleted; charged to {alice.name} (created it)"
    assert told in refused
    assert " created\n" in create(bob, "third")
    assert " scaled\n" in alice.run("scale", "deployment", "older", "--replicas=2")

    alice.delete("deployment", "second")
    eventually(lambda: " created\n" in create(alice, "third-of-alice"))
    assert REFUSED in create(alice, "fourth")


def test_what_controllers_make_is_counted_for_the_owner(running: RunningWebhook, person: Person) -> None:
    running.set_policy(LIMITED)
    assert " created\n" in create(person, "web")

    def old_and_new() -> list[str]:
        listed = running.cluster.kubectl("get", "replicasets", "-n", person.place, "-o", "name").stdout
        return listed.split()

    eventually(lambda: len(old_and_new()) == 1)
    person.run("set", "image", "deployment/web", "x=example/y")
    eventually(lambda: len(old_and_new()) == 2)
    owners = {stamped(running, person.place, "replicaset", each.partition("/")[2])[OWNER] for each in old_and_new()}
    assert owners == {person.name}

    person.run("set", "image", "deployment/web", "x=example/z")
    wanted = "jsonpath={.status.conditions[?(@.reason=='ReplicaSetCreateError')].message}"
    failure = ("get", "deployment", "web", "-n", person.place, "-o", wanted)
    eventually(lambda: "used: count/replicasets.apps=2" in running.cluster.kubectl(*failure).stdout)


def test_zero_forbids_a_kind(running: RunningWebhook, place: str) -> None:
    running.set_policy(LIMITED)
    words = ("create", "cronjob", "nightly", "--image=example/x", "--schedule=0 0 * * *")

    eventually(lambda: "not all known yet" not in run(running, place, *words, user="alice"))

    refused = run(running, place, *words, user="alice")
    assert (
        "larger than quota: defaults.user, requested: count/cronjobs.batch=1, used: count/cronjobs.batch=0" in refused
    )
    assert "would fit: nothing; charged to alice" in refused


# Kinds that only a policy names.

ANY_KIND = "version: 1\ndefaults: {user: {hard: {count/services: 1, count/widgets.example.com: 1}}}\n"
UNSERVED = "version: 1\ndefaults: {user: {hard: {count/gizmos.example.com: 1, count/nodes: 1, count/deployments: 1}}}\n"
WIDGETS = json.dumps(definition("Widget"))
COUNTED = ("counts.mutate.userquota.dev", "counts.validate.userquota.dev")


def rules(running: RunningWebhook) -> list[set[str]]:
    """
    Return what the webhooks for counted kinds intercept of services and widgets, in both configurations.

    What another test has limited stays for a while.
    """
    found = []
    for kind, name in zip(("mutating", "validating"), COUNTED, strict=True):
        answer = running.cluster.kubectl("get", f"{kind}webhookconfiguration", "userquota", "-o", "json")
        listed = [each for each in json.loads(answer.stdout)["webhooks"] if each["name"] == name]
        resources = {resource for each in listed for rule in each["rules"] for resource in rule["resources"]}
        found.append({each for each in resources if each.partition("/")[0] in ("services", "widgets")})
    return found


@pytest.fixture
def widgets(running: RunningWebhook) -> Iterator[None]:
    running.cluster.kubectl("apply", "-f", "-", stdin=WIDGETS)
    running.cluster.kubectl("wait", "--for=condition=Established", "crd/widgets.example.com")
    running.cluster.kubectl("create", "clusterrole", "widgets", "--resource=widgets.example.com", "--verb=create,get")
    running.cluster.kubectl("create", "clusterrolebinding", "widgets", "--clusterrole=widgets", "--group=people")
    yield
    running.cluster.kubectl("delete", "crd/widgets.example.com", "clusterrole/widgets", "clusterrolebinding/widgets")


def create_service(running: RunningWebhook, place: str, name: str, *options: str, user: str = "alice") -> str:
    return run(running, place, "create", "service", "clusterip", name, "--tcp=80", *options, user=user)


@pytest.mark.usefixtures("widgets")
def test_any_kind_in_namespaces_is_counted_once_a_policy_limits_it(running: RunningWebhook, place: str) -> None:
    running.set_policy(FREE)
    assert " created\n" in create_service(running, place, "older", user="bob")
    running.set_policy(ANY_KIND)
    eventually(lambda: {"services", "widgets"} <= rules(running)[1], what=running.output)
    assert rules(running) == [{"services", "widgets"}, {"services", "services/status", "widgets", "widgets/status"}]

    assert "created (server dry run)" in create_service(running, place, "tried", "--dry-run=server")
    assert " created\n" in create_service(running, place, "first")
    assert stamped(running, place, "service", "first")[OWNER] == "alice"
    refused = create_service(running, place, "second")
    assert "exceeded quota: defaults.user, requested: count/services=1, used: count/services=1" in refused
    assert "would fit: nothing until one of the services is deleted" in refused
    said = run(running, place, "annotate", "--overwrite", "service", "first", f"{OWNER}=bob", user="alice")
    assert "the userquota.dev annotations were left as they are: alice pays" in said
    assert stamped(running, place, "service", "first")[OWNER] == "alice"
    assert "annotated" in run(running, place, "annotate", "service", "first", "note=mine", user="alice")

    widget = '{"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "%s"}, "spec": {}}'
    assert " created\n" in run(running, place, "create", "-f", "-", user="alice", stdin=widget % "one")
    refused = run(running, place, "create", "-f", "-", user="alice", stdin=widget % "two")
    assert "requested: count/widgets.example.com=1" in refused

    run(running, place, "delete", "service", "first", user="alice")
    eventually(lambda: " created\n" in create_service(running, place, "second"))


def test_a_limit_on_what_cannot_be_counted_is_reported_and_stops_nothing(running: RunningWebhook, place: str) -> None:
    running.set_policy(UNSERVED)

    place_of = "(defaults.user at userquota-policy/policy.yaml:2)"
    eventually(lambda: f"count/nodes {place_of}: its objects are in no namespace" in running.readiness())

    said = running.readiness()
    assert said.startswith("ok\n")
    assert f"count/gizmos.example.com {place_of}: the API serves no such kind" in said
    assert f"count/deployments {place_of}: the API serves no such kind" in said
    told = "userquota-policy/policy.yaml:2: defaults.user.hard[count/deployments]: the API serves no such kind"
    eventually(lambda: told in events(running, "userquota-system"))
    assert " created\n" in create_service(running, place, "free")
