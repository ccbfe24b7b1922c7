"""The whole control plane starts while our webhooks are installed and no replica runs."""

from __future__ import annotations

import asyncio
from pathlib import Path

from localcluster.controlplane import ControlPlane
from tests.cluster.running import NAMESPACE
from tests.cluster.workloads import deployment
from tests.replicas import Replicas
from tests.replicated.asking import CLAIMS, PODS, Asking, Made, statuses
from tests.replicated.conftest import limited
from tests.replicated.test_restored import down

LIMIT = 2
PLACE = "test-cold-start"
SERVERS = (1, 2)
DEPLOYMENTS = Made("apis/apps/v1", "deployments", "Deployment", deployment("any", replicas=0)["spec"])
LEASES = Made("apis/coordination.k8s.io/v1", "leases", "Lease", {"holderIdentity": "a-node"})
NOBODY_ANSWERS = 'failed calling webhook "mutate.userquota.dev"'


async def test_a_cluster_that_starts_without_a_replica_refuses_what_is_charged_and_nothing_else(
    own_cluster: ControlPlane, tmp_path: Path
) -> None:
    """Row 74. Whatever has to be there before a replica can start is created, and with the replica all is well."""
    replicas = Replicas(own_cluster, tmp_path, 1)
    replicas.install()
    replicas.apply_policy(limited("alice", pods=LIMIT))
    own_cluster.create_namespace(PLACE)
    account = ("serviceaccount/default", "--namespace=kube-system")
    own_cluster.kubectl("wait", "--for=create", *account, "--timeout=30s")
    with replicas:
        replicas.wait_until_ready()
        async with Asking(own_cluster) as asking:
            assert statuses(await asking.create_decided(PLACE, ["before"], user="alice")) == {201: 1}

    with down(own_cluster):
        pass  # it fails unless both API servers are ready again

    async with Asking(own_cluster) as asking:
        for server in SERVERS:
            await what_is_not_charged_is_created(asking, server)
            await what_is_charged_is_refused(asking, server)
        with replicas:
            await asyncio.to_thread(replicas.wait_until_ready)
            answers = await asking.create_decided(PLACE, ["after", "too-many"], user="alice")
            assert statuses(answers) == {201: 1, 403: 1}
            assert statuses(await asking.create_decided(PLACE, ["after"], user="alice", of=DEPLOYMENTS)) == {201: 1}


async def what_is_not_charged_is_created(asking: Asking, server: int) -> None:
    name = f"without-us-{server}"
    made = [
        await asking.create(place, name, user="admin", of=of, server=server)
        for place, of in (
            ("kube-system", PODS),
            ("kube-system", DEPLOYMENTS),
            (NAMESPACE, DEPLOYMENTS),
            ("kube-node-lease", LEASES),
            (PLACE, LEASES),
        )
    ]
    for path, kind in (("nodes", "Node"), ("namespaces", "Namespace")):
        body = {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}}
        made.append(await asking.ask("POST", f"/api/v1/{path}", body=body, server=server))
    assert [(each.status, each.text) for each in made if each.status != 201] == []
    status = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    merged = "application/merge-patch+json"
    path = f"/api/v1/nodes/{name}/status"
    answer = await asking.ask("PATCH", path, body=status, server=server, content_type=merged)
    assert answer.status == 200, answer.text
    assert list(await asking.pods(PLACE, server=server)) == ["before"]


async def what_is_charged_is_refused(asking: Asking, server: int) -> None:
    for of in (PODS, CLAIMS, DEPLOYMENTS):
        answer = await asking.create(PLACE, f"in-vain-{server}", user="alice", of=of, server=server)
        assert answer.status == 500, answer.text
        assert NOBODY_ANSWERS in answer.message
