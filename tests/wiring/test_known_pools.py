"""Pools of nodes in the metrics and in the remarks of a replica."""

from __future__ import annotations

from collections.abc import Mapping

from tests.fakes import FakeClock
from tests.view.scenes import LABELS, NOW, cost, scene
from webhook.documents.policy_text import PolicyText
from webhook.policy_source import CurrentPolicy
from webhook.ports import READY, Condition, UnavailableError
from webhook.quota.commitments import Pool
from webhook.quota.objects import ObjectKey
from webhook.quota.policy import accounts_under
from webhook.quota.quantity import NANOS
from webhook.quota.resources import Amount
from webhook.quota.subject import Payer
from webhook.quota.usage import Row
from webhook.serving.metrics import Metrics
from webhook.serving.pool_series import PoolSeries
from webhook.wiring.known_pools import KnownPools

PROMISED = """
version: 1
nodeClasses: {fast: {nodes: {matchLabels: {cpu: fast}}}}
commitments:
  c-1: {user: bob, nodeClass: fast, zone: a, amounts: {cpu: 3}}
  c-2: {user: alice, nodeClass: fast, zone: b, amounts: {cpu: 2}}
"""


class Stage:
    """A replica that knows what nodes have, in cores; a test takes some away."""

    def __init__(self, policy: str = PROMISED) -> None:
        self.cores: dict[Pool, int] | None = {Pool("fast"): 20, Pool("fast", "a"): 8, Pool("fast", "b"): 12}
        self.condition = READY
        self.index = scene().usage
        current = CurrentPolicy(
            on_change=lambda new: self.index.rebind(accounts_under(new, self.labels), new.devices),
            on_mistakes=lambda _: None,
        )
        if policy:
            current.take([PolicyText("userquota-policy/policy.yaml", policy)])
        self.known = KnownPools(
            current, self.index, self.labels, FakeClock(NOW), self, conditions=[lambda: READY, lambda: self.condition]
        )

    def labels(self, name: str) -> Mapping[str, str]:
        return LABELS.get(name, {})

    def of(self, pool: Pool) -> Mapping[str, Amount]:
        if self.cores is None:
            raise UnavailableError("nodes", "not known")
        return {"requests.cpu": self.cores.get(pool, 0) * NANOS}

    def put(self, name: str, owner: str, cores: int) -> None:
        row = Row(name, self.index.position("pods") + 1, Payer(owner), cost(cores), ("NodeClass=fast", "Zone=a"))
        self.index.observe(ObjectKey("pods", "red", name), row)

    def scraped(self) -> list[str]:
        metrics = Metrics(dict)
        metrics.add(PoolSeries(self.known.standings))
        return [each for each in metrics.render().decode().splitlines() if each.startswith("userquota_pool{")]


def series(zone: str, **amounts: int) -> list[str]:
    first, last = 'node_class="fast",resource="requests.cpu"', f'zone="{zone}"'
    return [f'userquota_pool{{{first},type="{name}",{last}}} {amount:.1f}' for name, amount in amounts.items()]


def test_a_scrape_shows_what_nodes_have_and_what_is_used_and_promised() -> None:
    stage = Stage()
    stage.put("x", "bob", 1)
    stage.put("y", "carol", 4)

    assert stage.scraped() == [
        *series("", has=20, free=11, missing=0, used=5, reserved=0, promised=5, unused=4),
        *series("a", has=8, free=1, missing=0, used=5, reserved=0, promised=3, unused=2),
        *series("b", has=12, free=10, missing=0, used=0, reserved=0, promised=2, unused=2),
    ]
    assert stage.known.condition() == READY


def test_nodes_that_are_gone_are_told_with_how_much_is_missing() -> None:
    stage = Stage()
    stage.put("x", "bob", 1)
    stage.put("y", "carol", 4)
    stage.cores = {Pool("fast"): 12, Pool("fast", "a"): 0, Pool("fast", "b"): 12}

    told = "nodes have less than was promised: fast in a: requests.cpu 7 used or promised, 0 there, 7 missing"
    assert stage.known.condition() == Condition(ok=False, reason="capacity", message=told)
    assert series("a", has=0, free=0, missing=7, used=5) == stage.scraped()[7:11]


def test_nothing_is_told_of_what_is_not_known() -> None:
    stage = Stage()
    stage.cores = {}
    assert not stage.known.condition().ok

    stage.condition = Condition(ok=False, reason="objects", message="not all known")
    assert (stage.known.condition(), stage.scraped()) == (READY, [])
    stage.condition, stage.cores = READY, None
    assert (stage.known.condition(), stage.scraped()) == (READY, [])
    assert Stage("").known.condition() == READY
