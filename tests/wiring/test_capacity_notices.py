"""Events on pools whose nodes have less than was promised: after a grace, once an hour, whatever fails."""

from __future__ import annotations

from datetime import timedelta

from tests.fakes import FakeClock
from tests.wiring.test_known_pools import Stage
from tests.wiring.test_policy_notices import Store
from webhook.kube.api import ServerError
from webhook.quota.commitments import Pool
from webhook.wiring.capacity_notices import GRACE, CapacityNotices

TOLD = "nodes have less than was promised: fast in a: requests.cpu 3 used or promised, 0 there, 3 missing"


class Replica:
    """A replica that looks at the pools of `Stage`, of which zone a has no nodes any more."""

    def __init__(self, store: Store, clock: FakeClock) -> None:
        self.stage = Stage()
        self.clock = clock
        self.stage.cores = {Pool("fast"): 12, Pool("fast", "b"): 12}
        self.notices = CapacityNotices(self.stage.known, "uid of {}".format, store.tell, clock)

    async def looks_for(self, seconds: int) -> None:
        for _ in range(0, seconds, 15):
            await self.notices.once()
            self.clock.pass_by(15)
            self.clock.wall += timedelta(seconds=15)
        await self.notices.once()


async def test_what_is_missing_for_a_minute_is_told_once_an_hour_by_whoever_is_first() -> None:
    store, clock = Store(), FakeClock()
    first, second = Replica(store, clock), Replica(store, clock)

    await first.looks_for(GRACE - 15)
    assert store.events == {}
    await first.looks_for(15)
    [event] = store.events.values()
    assert (event.config_map, event.uid) == ("userquota-policy", "uid of userquota-policy")
    assert (event.reason, event.message, event.is_warning) == ("CapacityMissing", TOLD, True)

    await second.looks_for(GRACE)
    assert len(store.events) == 1
    asked = store.asked
    await first.looks_for(600)
    assert store.asked == asked
    clock.wall += timedelta(hours=1)
    await first.looks_for(0)
    assert len(store.events) == 2


async def test_nodes_that_come_back_in_time_are_told_to_nobody() -> None:
    store = Store()
    replica = Replica(store, FakeClock())
    await replica.looks_for(GRACE - 15)
    missing, replica.stage.cores = replica.stage.cores, {Pool("fast"): 20, Pool("fast", "a"): 8, Pool("fast", "b"): 12}
    await replica.looks_for(15)
    replica.stage.cores = missing
    await replica.looks_for(GRACE - 15)
    assert store.events == {}


async def test_what_cannot_be_written_is_tried_again() -> None:
    store = Store()
    replica = Replica(store, FakeClock())
    store.trouble = ServerError("etcd stands still", request="POST events", status=500)
    await replica.looks_for(GRACE)
    assert (store.asked, store.events) == (1, {})
    store.trouble = None
    await replica.looks_for(15)
    assert len(store.events) == 1
