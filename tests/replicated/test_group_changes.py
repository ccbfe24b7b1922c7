"""Members of a group who come and go while they create pods, at three replicas with a watch each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest

from localcluster.controlplane import ControlPlane
from tests.openshift_groups import Groups
from tests.replicas import Replicas
from tests.replicated.asking import Asking, statuses
from tests.replicated.conftest import UNLIMITED
from tests.replicated.load import Load
from tests.replicated.test_policy_changes import IN_FORCE_WITHIN, until

TODAY = (
    "version: 1\nattribution: {groupObjects: openshift}\ngroups: {today: {membership: live, pool: {hard: {pods: 5}}}}\n"
)


@pytest.fixture
def groups(cluster: ControlPlane, replicas: Replicas) -> Iterator[Groups]:
    groups = Groups(cluster)
    groups.define()
    yield groups
    replicas.set_policy(UNLIMITED)
    groups.remove_definition()


async def test_who_joins_a_live_group_is_bound_at_every_replica_and_free_again_after_leaving(
    replicas: Replicas, groups: Groups, asking: Asking, place: str, person: str
) -> None:
    """What they made before counts at once, so that under load nothing more fits; nothing is refused afterwards."""
    groups.put("today", ["somebody"])
    await asyncio.to_thread(replicas.set_policy, TODAY)
    load = Load(asking, place, person, deletes=False)
    async with load.running():
        await until(lambda: statuses(load.created)[201] >= 15)
        await asyncio.to_thread(groups.put, "today", [person])
        bound = time.monotonic() + IN_FORCE_WITHIN
        await asyncio.sleep(IN_FORCE_WITHIN + 2)
        leaving = time.monotonic()
        await asyncio.to_thread(groups.put, "today", [])
        left = time.monotonic()
        await asyncio.sleep(IN_FORCE_WITHIN + 1.5)
    inside = [each for each in load.created if bound < each.asked < leaving - 1]
    after = [each for each in load.created if each.asked > left + IN_FORCE_WITHIN]

    assert len(inside) > 20
    assert set(statuses(inside)) == {403}
    assert {"exceeded quota: groups.today.pool" in each.message for each in inside} == {True}
    assert len(after) > 20
    assert set(statuses(after)) == {201}
