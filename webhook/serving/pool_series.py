"""
Pools of nodes of which anything was promised, as metrics.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from webhook.quota.quantity import NANOS
from webhook.quota.resources import Amount
from webhook.view.pools import PoolRow, PoolStanding


class PoolSeries(Collector):
    """What *pools* returns at each scrape. There are as many series as the policy has pools and resources."""

    def __init__(self, pools: Callable[[], Iterable[PoolStanding]]) -> None:
        self._pools = pools

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the one family, if there are pools."""
        found = GaugeMetricFamily(
            "userquota_pool",
            "What the nodes of a class and zone have, and how much is used and promised, in cores, bytes or numbers.",
            labels=["node_class", "zone", "resource", "type"],
        )
        for standing in self._pools():
            pool = standing.pool
            for row in standing.rows:
                for of_type, amount in _told(row):
                    found.add_metric([pool.node_class, pool.zone, row.resource, of_type], float(amount / NANOS))
        if found.samples:
            yield found


def _told(row: PoolRow) -> Iterator[tuple[str, Amount]]:
    if row.has is not None:
        yield from (("has", row.has), ("free", row.free), ("missing", row.missing))
    yield from (("used", row.used), ("reserved", row.reserved), ("promised", row.promised), ("unused", row.unused))
