"""A Deployment replaces its pods one by one, as in every update of userquota itself."""

from __future__ import annotations

import asyncio
from pathlib import Path

from localcluster.controlplane import ControlPlane
from tests.replicas import Replicas
from tests.replicated.asking import Asking, statuses
from tests.replicated.conftest import limited
from tests.replicated.history import History
from tests.replicated.load import Load

LIMIT = 20
PLACE = "test-rollout"


async def test_a_rolling_restart_under_load_fails_no_request(own_cluster: ControlPlane, tmp_path: Path) -> None:
    """Row 12. Every request is decided while each replica in turn drains, exits and starts."""
    replicas = Replicas(own_cluster, tmp_path, 3, options=["--drain", "3"])
    replicas.install()
    replicas.apply_policy(limited("alice", pods=LIMIT))
    own_cluster.create_namespace(PLACE)
    with replicas:
        replicas.wait_until_ready()
        async with Asking(own_cluster) as asking, History(own_cluster, PLACE) as history:
            load = Load(asking, PLACE, "alice")
            async with load.running():
                for i in range(replicas.count):
                    await asyncio.to_thread(replicas.end, i)
                    replicas.start_one(i)
                    await asyncio.to_thread(replicas.wait_until_ready)
            assert await history.shows(load.uids)
    assert history.most == LIMIT
    assert set(statuses(load.created)) == {201, 403}, load.summary()
    assert statuses(load.created)[201] > 10 * LIMIT, load.summary()
