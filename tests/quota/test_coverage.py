"""Which objects commitments cover."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from webhook.quota.commitments import Commitment, Pool, State
from webhook.quota.coverage import Part, Using, covered
from webhook.quota.objects import ObjectKey
from webhook.quota.resources import Amount
from webhook.quota.subject import tenant

NOW = datetime(2026, 12, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def commitment(name: str, gpus: int, *, begins: datetime | None = None, memory: int = 0) -> Commitment:
    amounts = {"gpu": gpus, **({"requests.memory": memory} if memory else {})}
    return Commitment(name, tenant("research"), Pool("h100", "a"), amounts, begins=begins)


def pod(name: str, gpus: int, created: int = 1, *, memory: int = 0) -> Using:
    amounts = (("gpu", gpus), *((("requests.memory", memory),) if memory else ()))
    return Using(created, f"uid-{name}", ObjectKey("pods", "red", name), amounts)


def told(objects: list[Using], commitments: list[Commitment]) -> dict[str, list[tuple[str, str, Amount]]]:
    return {
        each.key.name: [(part.commitment, part.resource, part.amount) for part in parts]
        for each, parts in covered(objects, commitments, NOW).items()
    }


def test_the_oldest_pod_is_covered_first_then_the_largest_then_by_uid() -> None:
    pods = [pod("b", 1, 2), pod("a", 1, 2), pod("large", 2, 2), pod("old", 1, 1)]
    for order in permutations(pods):
        assert told(list(order), [commitment("c", 4)]) == {
            "old": [("c", "gpu", 1)],
            "large": [("c", "gpu", 2)],
            "a": [("c", "gpu", 1)],
        }


def test_the_commitment_that_began_first_is_used_up_first_then_the_largest_then_by_name() -> None:
    listed = [
        commitment("z", 1),
        commitment("b", 1, begins=NOW - DAY),
        commitment("a", 1, begins=NOW - DAY),
        commitment("y", 2, begins=NOW - DAY),
    ]
    for order in permutations(listed):
        assert told([pod("p", 5)], list(order)) == {
            "p": [("z", "gpu", 1), ("y", "gpu", 2), ("a", "gpu", 1), ("b", "gpu", 1)]
        }


def test_what_is_not_in_force_covers_nothing() -> None:
    pending = replace(commitment("c", 8), state=State.PENDING)
    later = commitment("c", 8, begins=NOW + DAY)
    over = replace(commitment("c", 8), ends=NOW)
    for each in (pending, later, over):
        assert told([pod("p", 1)], [each]) == {}


def test_resources_are_covered_each_by_itself() -> None:
    pods = [pod("p", 1, 1, memory=30), pod("q", 1, 2, memory=30)]
    assert told(pods, [commitment("c", 8, memory=40)]) == {
        "p": [("c", "gpu", 1), ("c", "requests.memory", 30)],
        "q": [("c", "gpu", 1), ("c", "requests.memory", 10)],
    }


@given(
    st.lists(st.tuples(st.integers(1, 5), st.integers(1, 3)), max_size=8),
    st.lists(st.integers(1, 6), max_size=5),
)
def test_as_much_is_covered_as_is_used_or_promised_whichever_is_less(
    sizes: list[tuple[int, int]], promised: list[int]
) -> None:
    pods = [pod(f"p{at}", gpus, created) for at, (gpus, created) in enumerate(sizes)]
    commitments = [commitment(f"c{at}", gpus) for at, gpus in enumerate(promised)]
    found = covered(pods, commitments, NOW)
    by_commitment: defaultdict[str, int] = defaultdict(int)
    for each in pods:
        parts: list[Part] = list(found.get(each, ()))
        assert sum(part.amount for part in parts) <= dict(each.amounts)["gpu"]
        for part in parts:
            by_commitment[part.commitment] += int(part.amount)
    assert sum(by_commitment.values()) == min(sum(gpus for gpus, _ in sizes), sum(promised))
    assert all(by_commitment[f"c{at}"] <= gpus for at, gpus in enumerate(promised))
