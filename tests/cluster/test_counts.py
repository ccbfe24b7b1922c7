"""Objects that cost nothing but their number, on a real API server: from the moment a policy limits it."""

from __future__ import annotations

from tests.cluster.running import RunningWebhook, eventually
from tests.cluster.test_who_pays import OWNER, run, stamped

FREE = "version: 1\ndefaults: {user: {hard: {pods: 10}}}\n"
LIMITED = (
    "version: 1\n"
    "defaults: {user: {hard: {count/deployments.apps: 2, count/replicasets.apps: 2, count/cronjobs.batch: 0}}}\n"
)
REFUSED = "exceeded quota: defaults.user, requested: count/deployments.apps=1, used: count/deployments.apps=2"


def create(running: RunningWebhook, place: str, name: str, *, user: str = "alice") -> str:
    """Create a deployment; a kind that is limited only since a moment ago is answered with 503 until it is known."""
    answers: list[str] = []

    def is_answered() -> bool:
        answers.append(run(running, place, "create", "deployment", name, "--image=example/x", user=user))
        return "not all known yet" not in answers[-1]

    eventually(is_answered, within=20)
    return answers[-1]


def test_deployments_are_counted_from_the_moment_a_policy_limits_them(running: RunningWebhook, place: str) -> None:
    running.set_policy(FREE)
    assert " created\n" in create(running, place, "older")
    running.set_policy(LIMITED)

    assert " created\n" in create(running, place, "second")
    refused = create(running, place, "third")
    assert REFUSED in refused
    assert "would fit: nothing until one of the deployments.apps is deleted; charged to alice (created it)" in refused
    assert " created\n" in create(running, place, "third", user="bob")
    assert " scaled\n" in run(running, place, "scale", "deployment", "older", "--replicas=2", user="alice")

    run(running, place, "delete", "deployment", "second", user="alice")
    eventually(lambda: " created\n" in create(running, place, "third-of-alice"), within=20)
    assert REFUSED in create(running, place, "fourth")


def test_what_controllers_make_is_counted_for_the_owner(running: RunningWebhook, place: str) -> None:
    running.set_policy(LIMITED)
    assert " created\n" in create(running, place, "web", user="carol")

    def old_and_new() -> list[str]:
        listed = running.cluster.kubectl("get", "replicasets", "-n", place, "-o", "name").stdout
        return listed.split()

    eventually(lambda: len(old_and_new()) == 1, within=30)
    run(running, place, "set", "image", "deployment/web", "x=example/y", user="carol")
    eventually(lambda: len(old_and_new()) == 2, within=30)
    assert {stamped(running, place, "replicaset", each.partition("/")[2])[OWNER] for each in old_and_new()} == {"carol"}

    run(running, place, "set", "image", "deployment/web", "x=example/z", user="carol")
    wanted = "jsonpath={.status.conditions[?(@.reason=='ReplicaSetCreateError')].message}"
    failure = ("get", "deployment", "web", "-n", place, "-o", wanted)
    eventually(lambda: "used: count/replicasets.apps=2" in running.cluster.kubectl(*failure).stdout, within=30)


def test_zero_forbids_a_kind(running: RunningWebhook, place: str) -> None:
    running.set_policy(LIMITED)
    words = ("create", "cronjob", "nightly", "--image=example/x", "--schedule=0 0 * * *")

    eventually(lambda: "not all known yet" not in run(running, place, *words, user="alice"), within=20)

    refused = run(running, place, *words, user="alice")
    assert "exceeded quota: defaults.user, requested: count/cronjobs.batch=1, used: count/cronjobs.batch=0" in refused
    assert "would fit: nothing; charged to alice" in refused
