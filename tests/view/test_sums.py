"""Laws of what people read: a row adds up to its limit, zones to their class, and classes to what is installed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from tests.view.scenes import LABELS, scene
from webhook.quota.capacity import NodeFacts, capacity_of
from webhook.quota.commitments import Pool
from webhook.quota.devices import SHIPPED
from webhook.quota.limits import Limit
from webhook.quota.node_classes import ZONE_LABEL, NodeClass, NodeClasses
from webhook.quota.objects import ObjectKey
from webhook.quota.quantity import NANOS, parse
from webhook.quota.reservation import CREATED, Reservation
from webhook.quota.resources import Amount
from webhook.quota.scopes import Scopes
from webhook.quota.subject import Payer, user
from webhook.quota.usage import Row
from webhook.view import wire
from webhook.view.pools import pools
from webhook.view.standings import Quota, Scene, Standing

CPU, MEMORY, GPU = "requests.cpu", "requests.memory", "requests.nvidia.com/gpu"
KIB, MIB = 2**10, 2**20

odd = st.one_of(
    st.integers(0, 8 * NANOS),
    st.sampled_from([2032 * MIB, 3 * MIB // 2, 100 * NANOS // 1000, 1]).map(lambda each: each * NANOS),
    st.integers(0, 2**40).map(lambda each: each * KIB * NANOS),
)
"""Amounts in billionths, few of them round."""


def written(row: Any, name: str) -> int:
    return parse(row[name]).nanos


# A row of a limit.


@given(odd, odd, odd, st.just(0) | odd, st.sampled_from([CPU, MEMORY, "pods"]))
def test_what_is_used_reserved_set_aside_and_free_is_the_limit_where_it_is_not_over(
    hard: Amount, used: Amount, reserved: Amount, set_aside: Amount, resource: str
) -> None:
    limit = Limit(user("alice"), resource, hard, "defaults.user")
    standing = Standing(limit.subject, resource, used, reserved, limit, set_aside=set_aside)

    [row] = cast("Any", wire.quota_of(limit.subject, Quota((standing,), ())))["status"]["limits"]

    amounts = {name: written({"setAside": "0", **row}, name) for name in ("used", "reserved", "setAside", "free")}
    assert list(amounts.values())[:3] == [used, reserved, set_aside]
    assert written(row, "hard") == hard
    if used + reserved + set_aside <= hard:
        assert (sum(amounts.values()), row["over"]) == (hard, "0")
    else:
        assert (row["free"], written(row, "over")) == ("0", max(used + reserved - hard, 0))


# Pools of nodes.

ZONES = ("a", "b", "c")
PROMISED = """
nodeClasses: {fast: {nodes: {matchLabels: {cpu: fast}}}}
commitments:
  c-1: {user: alice, nodeClass: fast, zone: a, amounts: {cpu: 3}}
  c-2: {user: bob, nodeClass: fast, zone: b, amounts: {cpu: 2500m}}
  c-3: {user: bob, nodeClass: fast, zone: c, amounts: {cpu: 1}, state: guaranteed, from: 2027-01-01T00:00:00Z}
"""
IN_ONE: tuple[Scopes, ...] = (("NodeClass=fast", "Zone=a"), ("NodeClass=fast", "Zone=b"))
IN_NONE: tuple[Scopes, ...] = (("NodeClass=fast", "Zone"), ("NodeClass=fast", "Zone=a", "Zone=b"))
spots: st.SearchStrategy[Scopes] = st.sampled_from([*IN_ONE, *IN_NONE, ()])
pods = st.tuples(st.sampled_from(["alice", "bob", "carol"]), st.integers(1, 4 * NANOS), spots)


class Nodes:
    """What a zone has, and a class: more than its zones, as one node is in none."""

    def of(self, pool: Pool) -> Mapping[str, Amount]:
        return {CPU: 8 * NANOS if pool.zone else 30 * NANOS}


def stored(where: Scene, number: int, payer: str, amount: Amount, scopes: Scopes) -> None:
    key, version = ObjectKey("pods", next(iter(LABELS)), f"stored-{number}"), number + 1
    where.usage.observe(key, Row(key.name, version, Payer(payer), ((CPU, amount),), scopes))


def in_flight(where: Scene, number: int, payer: str, amount: Amount, scopes: Scopes) -> None:
    key = ObjectKey("pods", next(iter(LABELS)), f"in-flight-{number}")
    where.usage.reserve(Reservation(key, key.name, CREATED, Payer(payer), ((CPU, amount),), scopes))


@given(st.lists(pods, max_size=8), st.lists(pods, max_size=4))
def test_zones_and_what_names_no_single_zone_come_to_the_whole_class(
    exist: list[tuple[str, int, Scopes]], asked: list[tuple[str, int, Scopes]]
) -> None:
    made = scene(PROMISED)
    for number, (payer, amount, scopes) in enumerate(exist):
        stored(made, number, payer, amount, scopes)
    for number, (payer, amount, scopes) in enumerate(asked):
        in_flight(made, number, payer, amount, scopes)

    told = {each.pool: each.rows[0] for each in pools(made, Nodes())}

    whole, zones = told[Pool("fast")], [told[Pool("fast", zone)] for zone in ZONES]
    for name, listed in (("used", exist), ("reserved", asked)):
        in_none = sum(amount for _, amount, scopes in listed if scopes in IN_NONE)
        assert getattr(whole, name) == sum(getattr(each, name) for each in zones) + in_none
    assert whole.promised == sum(each.promised for each in zones)
    assert whole.unused == sum(each.unused for each in zones)


# What nodes have.

CLASSES = (NodeClass("h100", (("gpu", "h100"),)), NodeClass("gpus", (("kind", "gpu"),)), NodeClass("all", ()))
nodes = st.builds(
    NodeFacts,
    st.fixed_dictionaries(
        {},
        optional={
            "gpu": st.sampled_from(["h100", "a100"]),
            "kind": st.just("gpu"),
            ZONE_LABEL: st.sampled_from(ZONES),
        },
    ),
    st.tuples(odd, st.integers(0, 8)).map(lambda has: ((MEMORY, has[0]), (GPU, has[1] * NANOS))),
    st.booleans(),
)


@given(st.lists(nodes, max_size=12), st.permutations(CLASSES))
def test_classes_and_zones_come_to_no_more_than_is_installed(
    installed: list[NodeFacts], order: list[NodeClass]
) -> None:
    """A node of which several classes have the labels counts in one of them."""
    has = capacity_of(installed, NodeClasses(tuple(order)), SHIPPED)

    for name in (MEMORY, GPU):
        usable = [each for each in installed if each.takes_pods]
        there = sum(dict(each.allocatable)[name] for each in usable)
        without = sum(dict(each.allocatable)[name] for each in usable if ZONE_LABEL not in each.labels)
        wholes = sum(amounts.get(name, 0) for pool, amounts in has.items() if not pool.zone)
        zones = sum(amounts.get(name, 0) for pool, amounts in has.items() if pool.zone)
        assert wholes == there  # one of the classes is of all nodes
        assert zones + without == wholes
