"""Objects older than the installation: made while userquota was not there."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

from tests.cluster.running import RunningWebhook, eventually, pod
from tests.cluster.test_claims import create_bound, storage_class
from tests.cluster.test_who_pays import OWNER
from tests.cluster.workloads import deployment, listed

Make: TypeAlias = Callable[[RunningWebhook, str], None]
"""Makes objects in a namespace, and waits for what controllers make of them."""


@contextmanager
def before_the_installation(running: RunningWebhook) -> Iterator[None]:
    """
    Take userquota away for the time of the block, as if it were installed after it.

    The process is stopped first: while it runs it puts its configurations back. An API server that has not noticed yet
    that they are gone refuses what it is asked for, since nobody answers, so that nothing is stamped by mistake. What
    controllers make in the block is to be awaited there.
    """
    running.stop()
    running.uninstall()
    eventually(lambda: not any(_reviews(running)), what=lambda: "an API server still calls the webhook")
    try:
        yield
    finally:
        running.start()
        running.wait_until_ready()
        eventually(lambda: all(_reviews(running)), what=lambda: "an API server does not call the webhook yet")


def _reviews(running: RunningWebhook) -> Iterator[bool]:
    """Yield for each API server whether it reviews what is created, or would if userquota answered."""
    for server in range(1, len(running.cluster.server_urls) + 1):
        words = ("create", "-n", "default", "-f", "-", "--dry-run=server", "-o", "json")
        answer = running.cluster.kubectl(*words, server=server, stdin=pod("probe"), check=False)
        yield answer.returncode != 0 or OWNER in json.loads(answer.stdout)["metadata"].get("annotations", {})


def web(*, replicas: int) -> Make:
    """Make the Deployment `web`."""

    def make(running: RunningWebhook, place: str) -> None:
        manifest = json.dumps(deployment("web", replicas=replicas))
        running.cluster.kubectl("apply", "-n", place, "-f", "-", stdin=manifest)
        eventually(lambda: len(listed(running, place, "pods")) == replicas)

    return make


def pods(running: RunningWebhook, place: str) -> None:
    for name, cpu in (("small", "400m"), ("large", "900m")):
        running.cluster.kubectl("create", "-n", place, "-f", "-", stdin=pod(name, cpu=cpu))


def claims(running: RunningWebhook, place: str) -> None:
    storage_class(running, "plain")
    create_bound(running, place, "data", "6Gi")
    create_bound(running, place, "huge", "20Gi")


def suspended_job(running: RunningWebhook, place: str) -> None:
    template = deployment("work")["spec"]["template"]["spec"] | {"restartPolicy": "Never"}
    spec = {"suspend": True, "parallelism": 2, "completions": 2, "template": {"spec": template}}
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "work"}, "spec": spec}
    running.cluster.kubectl("create", "-n", place, "-f", "-", stdin=json.dumps(job))
