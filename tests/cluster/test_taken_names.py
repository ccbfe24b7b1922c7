"""Creates that cannot be stored keep no reservation: the name is taken, or another webhook denies them."""

from __future__ import annotations

import json

from tests.cluster.running import RunningWebhook, eventually, pod
from tests.cluster.test_main_job import create

POOL = """\
version: 1
groups:
  ml: {members: [alice, bob], pool: {hard: {pods: 2}}}
"""


def stateful_set(replicas: int) -> str:
    labels = {"app": "web"}
    spec = {"containers": [{"name": "main", "image": "example/x"}]}
    return json.dumps(
        {
            "apiVersion": "apps/v1",
            "kind": "StatefulSet",
            "metadata": {"name": "web"},
            "spec": {
                "replicas": replicas,
                "serviceName": "web",
                "podManagementPolicy": "Parallel",
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": spec},
            },
        }
    )


def test_a_second_create_of_a_taken_name_leaves_no_reservation(running: RunningWebhook, place: str) -> None:
    """
    Confirmed defect W7, input b: another user was denied for 40 seconds after the object was gone.

    The response has the API server's own reason and code, so that clients that treat it as success still do.
    """
    running.set_policy(POOL)
    assert create(running, place, pod("h1")) == "pod/h1 created\n"
    eventually(lambda: "userquota_reservations 0.0" in running.metrics())

    again = create(running, place, pod("h1"))
    assert "(AlreadyExists)" in again
    assert 'pods "h1" already exists' in again
    assert create(running, place, pod("h2"), user="bob") == "pod/h2 created\n"
    running.cluster.kubectl("delete", "pod", "h1", "-n", place, "--wait=true", user="alice")

    eventually(lambda: " created\n" in create(running, place, pod("h3"), user="bob"))


def test_a_stateful_set_recreates_its_pods_under_their_names(running: RunningWebhook, place: str) -> None:
    running.set_policy(POOL)
    running.cluster.kubectl("create", "-n", place, "-f", "-", user="alice", stdin=stateful_set(2))

    def pods() -> set[str]:
        listed = running.cluster.kubectl("get", "pods", "-n", place, "-o", "jsonpath={.items[*].metadata.uid}")
        return set(listed.stdout.split())

    eventually(lambda: len(pods()) == 2)
    first = pods()
    running.cluster.kubectl("delete", "pod", "web-0", "web-1", "-n", place, "--grace-period=0", "--force")

    eventually(lambda: len(pods()) == 2 and not pods() & first)
