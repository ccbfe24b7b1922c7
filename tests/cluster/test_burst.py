"""Concurrent creates, and a restart in between."""

from __future__ import annotations

import json

from tests.cluster.creating import create_pods, one_container
from tests.cluster.running import RunningWebhook, eventually, pod
from tests.cluster.workloads import deployment, listed
from tests.replicated import ledger_object
from tests.replicated.asking import Asking


async def test_five_hundred_creates_through_two_servers_fill_a_hundred_places_exactly(
    running: RunningWebhook, place: str
) -> None:
    running.set_policy("version: 1\ndefaults: {user: {hard: {pods: 100}}}\n")
    refusals: list[str] = []
    statuses = await create_pods(
        running.cluster,
        place,
        [f"burst-{number}" for number in range(500)],
        user="dave",
        spec=one_container(),
        on_refusal=refusals.append,
    )
    assert statuses == {201: 100, 403: 400}
    assert len(running.cluster.kubectl("get", "pods", "-n", place, "-o", "name").stdout.splitlines()) == 100
    assert all("exceeded quota: defaults.user, requested: pods=1" in refusal for refusal in refusals)


async def test_usage_is_rebuilt_from_the_api_after_a_crash(running: RunningWebhook, place: str) -> None:
    running.set_policy("version: 1\ndefaults: {user: {hard: {pods: 300}}}\n")
    names = [f"kept-{number}" for number in range(300)]
    assert await create_pods(running.cluster, place, names, user="erin", spec=one_container()) == {201: 300}
    running.kill()
    running.start()
    running.wait_until_ready()
    statuses = await create_pods(running.cluster, place, ["one-more"], user="erin", spec=one_container())
    assert statuses == {403: 1}
    async with Asking(running.cluster) as asking:
        await ledger_object.at_rest(asking, place, within=10)


async def test_while_the_webhook_is_down_nothing_charged_is_created(running: RunningWebhook, place: str) -> None:
    running.kill()
    try:
        assert await create_pods(running.cluster, place, ["unseen"], user="erin", spec=one_container()) == {500: 1}
        running.cluster.kubectl("create", "configmap", "unaffected", "-n", place, user="erin")
    finally:
        running.start()
        running.wait_until_ready()


def test_while_the_webhook_is_down_the_system_gets_its_pods(running: RunningWebhook, place: str) -> None:
    """By hand and by a controller, without a stamp; a person gets none."""
    kubectl, name = running.cluster.kubectl, f"dns-of-{place}"
    running.kill()
    try:
        kubectl("create", "-n", "kube-system", "-f", "-", stdin=json.dumps(deployment(name)))
        kubectl("create", "-n", "kube-system", "-f", "-", stdin=pod(f"by-hand-{name}"))
        eventually(lambda: len(pods_named(running, "kube-system", name)) == 2)
        answer = kubectl("create", "-n", place, "-f", "-", stdin=pod("person"), user="alice", check=False)
        assert "failed calling webhook" in answer.stderr
        assert not any("userquota.dev" in each for each in pods_named(running, "kube-system", name))
    finally:
        running.start()
        running.wait_until_ready()
        kubectl("delete", "deployment", "-n", "kube-system", name)
        kubectl("delete", "pod", "-n", "kube-system", f"by-hand-{name}", "--grace-period=0", "--force")


def pods_named(running: RunningWebhook, place: str, name: str) -> list[str]:
    return [json.dumps(each) for each in listed(running, place, "pods") if name in each["metadata"]["name"]]
