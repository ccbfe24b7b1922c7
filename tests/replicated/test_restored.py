"""etcd is restored from a backup while replicas have seen later versions."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from localcluster.binaries import Binaries
from localcluster.controlplane import ControlPlane
from localcluster.plan import Options
from tests.cluster.running import eventually
from tests.conftest import run_control_plane
from tests.replicas import Replicas
from tests.replicated import ledger_object
from tests.replicated.asking import Asking, numbered, statuses
from tests.replicated.conftest import limited
from tests.replicated.history import History
from tests.replicated.load import Load
from tests.replicated.side_by_side import side_by_side

LIMIT = 5
OLD = 4
PLACE = "test-restored"
REASON = "userquota: the API went back in time"
"""The last log message of a process that ends."""

OPEN_AGAIN = 90.0
"""Seconds: a replica called before its own check finds the ledger went back, and closes it for 40."""

EVERYBODY_LOOKED = 12.0
"""Seconds: see RevisionCheck. No restore of a backup is faster."""


@pytest.fixture
def own_clusters(
    binaries: Binaries, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[ControlPlane, ControlPlane]]:
    options = Options(controller_manager=True, servers=2)
    run = contextmanager(run_control_plane)
    with run(binaries, tmp_path_factory, options) as first, run(binaries, tmp_path_factory, options) as second:
        yield first, second


async def test_after_a_restore_no_decision_uses_the_discarded_history(
    own_clusters: tuple[ControlPlane, ControlPlane], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """
    Row 31. The backup has four pods deleted since: a replica that ignores the restore would allow five more.

    In one cluster the ledger was not written since, in the other one it goes back, too.
    """
    first, second = own_clusters
    await side_by_side(
        restore(first, tmp_path_factory.mktemp("not-written"), later=0),
        restore(second, tmp_path_factory.mktemp("went-back"), later=1),
    )


async def restore(own_cluster: ControlPlane, tmp_path: Path, *, later: int) -> None:
    """Restore a backup taken before *later* pods were created."""
    replicas = Replicas(own_cluster, tmp_path, 3)
    replicas.install()
    replicas.apply_policy(limited("alice", pods=LIMIT))
    own_cluster.create_namespace(PLACE)
    backup = tmp_path / "backup"
    with replicas:
        replicas.wait_until_ready()
        async with Asking(own_cluster) as asking:
            assert statuses(await asking.create_pods(PLACE, numbered("old", OLD), user="alice")) == {201: OLD}
            await ledger_object.at_rest(asking, PLACE)
            with down(own_cluster):
                shutil.copytree(own_cluster.data_dir / "etcd", backup)
            replicas.wait_until_ready()
            await asking.delete_all_pods(PLACE)
            await asking.create_pods(PLACE, numbered("later", later), user="alice")
            await ledger_object.at_rest(asking, PLACE)
            await asyncio.to_thread(replicas.wait_until_all_know, later)
            await write_much(asking)
            await asyncio.sleep(EVERYBODY_LOOKED)

        with down(own_cluster):
            shutil.rmtree(own_cluster.data_dir / "etcd")
            backup.rename(own_cluster.data_dir / "etcd")
            await asyncio.sleep(EVERYBODY_LOOKED)
        async with Asking(own_cluster) as asking, History(own_cluster, PLACE) as history:
            load = Load(asking, PLACE, "alice", deletes=False)
            async with started_again(replicas), load.running(workers=3):
                await asyncio.to_thread(eventually, lambda: all(map(has_ended, logs(replicas))))
                await asyncio.to_thread(eventually, lambda: all(map(replicas.is_ready, range(3))), within=OPEN_AGAIN)
                await asyncio.sleep(3)
    assert history.most == LIMIT
    assert statuses(load.created)[201] == LIMIT - OLD, load.summary()
    assert statuses(load.created)[403] > 0, load.summary()


async def write_much(asking: Asking) -> None:
    """Write as much as a real cluster does in seconds: more than the API servers write at their start."""
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "any-"}}
    for _ in range(100):
        assert (await asking.ask("POST", f"/api/v1/namespaces/{PLACE}/configmaps", body=body)).status == 201


def logs(replicas: Replicas) -> list[str]:
    return [replicas.log(i) for i in range(replicas.count)]


def has_ended(log: str) -> bool:
    return REASON in log


@contextmanager
def down(cluster: ControlPlane) -> Iterator[None]:
    """Stop the whole control plane while the body runs, as the documentation of etcd requires."""
    servers = ("kube-apiserver-1", "kube-apiserver-2")
    for name in (*servers, "etcd"):
        cluster.processes[name].kill()
    try:
        yield
    finally:
        for name in ("etcd", *servers):
            cluster.restart(name)


@asynccontextmanager
async def started_again(replicas: Replicas) -> AsyncIterator[None]:
    """Restart replicas that exit while the body runs, as a kubelet would."""

    async def watch_over() -> None:
        while True:
            for i in range(replicas.count):
                if not replicas.is_running(i):
                    replicas.start_one(i)
            await asyncio.sleep(0.2)

    task = asyncio.create_task(watch_over())
    try:
        yield
    finally:
        task.cancel()
