"""
The installation of userquota in a cluster that lives, by the steps of docs/install.md. Nothing is judged here.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from nemesis.accounting import UNIT, quantity
from nemesis.records import PODS
from rehearsal import manifests
from rehearsal.client import Client
from rehearsal.commands import Ended, userquota
from rehearsal.load import Load, View
from rehearsal.manifests import DEPLOYMENT, POD, STAMPED, Document
from rehearsal.policy import NOBODY, Policy
from rehearsal.population import INFRA, NETWORK, NODES, OPERATORS, ROBOTS, TIGHT, Population, add_node
from rehearsal.site import Site
from rehearsal.sizes import Size

BEFORE, INSTALL, AUDIT, WARN, ENFORCE, AFTER = STEPS = ("before", "install", "audit", "warn", "enforce", "after")

OWNER = "userquota.dev/owner"
_HEAVY = 30
"""The pods of somebody who uses more than they may."""

Report = Callable[[str], None]


@dataclass(slots=True)
class Installed:
    """
    The record of an installation.

    `began` is when each step did, and `finished` when all was over, by the wall clock. `policy` is the one that was
    enforced from version `enforced` through `ended`. `older` are the UIDs of what existed when replicas began to stamp,
    `left` the objects without an owner at the end. `looks` are the reports of preflight, by the step after it.
    """

    policy: Policy
    began: dict[str, float] = field(default_factory=dict)
    finished: float = 0.0
    enforced: int = 0
    ended: int = 0
    older: frozenset[str] = frozenset()
    left: list[Document] = field(default_factory=list)
    objects: dict[str, Document] = field(default_factory=dict)
    looks: dict[str, Ended] = field(default_factory=dict)
    unstamped: set[str] = field(default_factory=set)
    """The UIDs of what `get --drift` lists without a stamp."""
    pods_of_new_node: int = 0
    warned: Counter[str] = field(default_factory=Counter)

    def step_at(self, at: float) -> str:
        """Return the step in which something was answered."""
        return next((step for step in reversed(STEPS) if step in self.began and at >= self.began[step]), BEFORE)


async def install(
    site: Site, client: Client, population: Population, view: View, size: Size, report: Report
) -> Installed:
    """Install userquota under load: look, record, warn, enforce. The replicas run afterwards."""
    policy = _policy(population)
    record = Installed(policy)
    load = Load(client, population, view, pause=size.pause)

    async def look(step: str, policy: Policy) -> Ended:
        words = ("preflight", "-f", "-")
        record.looks[step] = await userquota(*words, kubeconfig=site.cluster.kubeconfig(), stdin=policy.text())
        return record.looks[step]

    def begin(step: str) -> None:
        record.began[step] = time.time()
        report(f"{step}: {client.asked} requests, {len(view[PODS])} pods")

    async with load.running():
        begin(BEFORE)
        await asyncio.sleep(size.phase)
        found = await look(INSTALL, policy)
        record.policy = policy = _bounded(policy, found.document)
        begin(INSTALL)
        await _installed(site, client, policy.text("audit"))
        record.older = frozenset(each["metadata"]["uid"] for each in await _stamped_kinds(client))
        begin(AUDIT)
        for each in population.heavy:
            document = manifests.deployment(f"{each.name}-heavy", _HEAVY)
            await client.create(DEPLOYMENT, each.team, document, by=each.actor)
        await asyncio.sleep(size.phase)
        await look(WARN, policy)
        begin(WARN)
        await asyncio.to_thread(site.replicas.set_policy, policy.text("warn"))
        await asyncio.sleep(size.phase)
        await look(ENFORCE, policy)
        begin(ENFORCE)
        await asyncio.to_thread(site.replicas.set_policy, policy.text())
        record.enforced = await client.version()
        before = len(await client.objects(POD, INFRA))
        await add_node(client, NODES)
        await asyncio.sleep(size.phase)
        record.pods_of_new_node = len(await client.objects(POD, INFRA)) - before
    await asyncio.sleep(min(size.phase / 4, 5))
    begin(AFTER)
    record.ended = await client.version()
    record.warned = load.warned
    await _count_what_is_left(site, client, record, look)
    record.finished = time.time()
    return record


async def _installed(site: Site, client: Client, policy: str) -> None:
    """Start the replicas, and return when each API server asks them."""
    site.replicas.install()
    site.replicas.apply_policy(policy)
    site.replicas.start()  # not in another thread, with which they would end
    await asyncio.to_thread(site.replicas.wait_until_ready, 120)
    asked = 0
    while asked < 2 * site.servers:  # in turn, so that each has answered
        answer = await client.ask("POST", f"{POD.path('default')}?dryRun=All", manifests.pod("probe"))
        is_stamped = answer.is_done and OWNER in answer.document["metadata"].get("annotations", {})
        asked = asked + 1 if is_stamped else 0
        await asyncio.sleep(0.05)


async def _stamped_kinds(client: Client) -> list[Document]:
    """Return all objects that can have an owner, outside the exempt namespaces, each with its kind."""
    return [
        {**each, "kind": kind.name}
        for kind in STAMPED
        for each in await client.objects(kind)
        if not each["metadata"]["namespace"].startswith(("kube-", "userquota-"))
    ]


async def _count_what_is_left(site: Site, client: Client, record: Installed, look: Callable[..., Any]) -> None:
    drift = await userquota("get", "--drift", kubeconfig=site.cluster.kubeconfig())
    record.unstamped = {each["uid"] for each in drift.document["withoutStamp"]}
    await look(AFTER, record.policy)
    found = await _stamped_kinds(client)
    record.objects = {each["metadata"]["uid"]: each for each in found}
    record.left = [each for each in found if owner_of(each) == NOBODY]


def owner_of(document: Document) -> str:
    """Return who pays by the stamp; without one it is nobody."""
    return str(document["metadata"].get("annotations", {}).get(OWNER) or NOBODY)


def _policy(population: Population) -> Policy:
    """Return a policy that is too tight for some people, for one namespace, and for the operator without names."""
    unlimited = {"pods": "unlimited", "cpu": "unlimited", "storage": "unlimited"}
    return Policy(
        user={"pods": "24", "cpu": "2", "storage": "20Gi"},
        account={"pods": "2", "cpu": "2"},
        accounts={f"{ROBOTS}/robot-{number}": unlimited for number in range(len(population.robots))},
        namespaces={TIGHT: {"pods": "3"}},
        delegate=f"{OPERATORS}/operator-0",
        exempt=NETWORK,
    )


def _bounded(policy: Policy, report: Any) -> Policy:
    """Return the policy with the suggested bound of the unattributed, and a third more for rollouts."""
    hard = report["suggestedPolicy"]["defaults"]["unattributed"]["hard"]
    pods = quantity(hard["pods"]) // UNIT
    return replace(policy, unattributed={"pods": f"{pods * 4 // 3}"})
