"""The bounds that LimitRanges set for containers: what is read, how long it is used, and what is an error."""

from __future__ import annotations

import asyncio
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.fakes import FakeClock
from tests.kube.scripted import server, stream
from webhook.kinds.evaluator import UncountableError
from webhook.kube.limit_ranges import LimitRangeList, LimitRangeReads, bounds_of
from webhook.ports import UnavailableError
from webhook.quota.missing import Bounds
from webhook.quota.quantity import NANOS


def body(*items: dict[str, Any]) -> bytes:
    return json.dumps({"kind": "LimitRangeList", "items": [{"spec": {"limits": [each]}} for each in items]}).encode()


def read(*items: dict[str, Any]) -> dict[str, Bounds]:
    return dict(bounds_of(msgspec.json.decode(body(*items), type=LimitRangeList)))


def test_of_all_items_for_containers_the_tightest_bounds_count() -> None:
    wide = {"min": {"cpu": "1m"}, "max": {"cpu": "4"}, "maxLimitRequestRatio": {"cpu": "4"}}
    tight = {"min": {"cpu": "10m"}, "max": {"cpu": "2"}, "maxLimitRequestRatio": {"cpu": "1.5"}}

    for items in ([wide, tight], [tight, wide]):
        assert read(
            *({"type": "Container", **each} for each in items), {"type": "Container", "max": {"memory": 5}}
        ) == {
            "cpu": Bounds(NANOS // 100, 2 * NANOS, Fraction(3, 2)),
            "memory": Bounds(most=5 * NANOS),
        }


def test_items_for_pods_and_claims_bound_no_container() -> None:
    assert read({"type": "Pod", "max": {"cpu": "1"}}, {"type": "PersistentVolumeClaim", "min": {"storage": "1"}}) == {}


@pytest.mark.parametrize(
    "text", ['{"items": null}', '{"items": [{"spec": {}}]}', '{"items": [{"spec": {"limits": []}}]}']
)
def test_nothing_bounds_where_there_is_nothing(text: str) -> None:
    assert bounds_of(msgspec.json.decode(text, type=LimitRangeList)) == {}


def test_a_bound_that_is_no_quantity_is_an_error() -> None:
    with pytest.raises(UncountableError):
        read({"type": "Container", "max": {"cpu": "x"}})


ONE, TWO = ({"type": "Container", "max": {"cpu": str(number)}} for number in (1, 2))


async def test_what_was_read_is_used_for_a_second(tmp_path: Path) -> None:
    clock = FakeClock()
    async with server([stream(body(ONE)), stream(body(TWO)), stream(body())], tmp_path) as (api, answers):
        ranges = LimitRangeReads(api, monotonic=clock.monotonic)

        first = await asyncio.gather(*(ranges.bounds("red") for _ in range(5)))
        clock.pass_by(1.1)
        second = await ranges.bounds("red")
        other = await ranges.bounds("blue")

    assert first == [{"cpu": Bounds(most=NANOS)}] * 5
    assert second == {"cpu": Bounds(most=2 * NANOS)}
    assert other == {}
    assert [each.split()[1] for each in answers.requests] == [
        "/api/v1/namespaces/red/limitranges",
        "/api/v1/namespaces/red/limitranges",
        "/api/v1/namespaces/blue/limitranges",
    ]


FORBIDDEN = b'{"kind":"Status","code":403,"reason":"Forbidden","message":"limitranges is forbidden"}'
UNREADABLE = {
    "a refusal": b"HTTP/1.1 403 Forbidden\r\nContent-Length: %d\r\n\r\n%s" % (len(FORBIDDEN), FORBIDDEN),
    "no list": stream(b"[]"),
    "no quantity": stream(body({"type": "Container", "min": {"cpu": "x"}})),
    "no answer": b"",
}


@pytest.mark.parametrize("answer", UNREADABLE.values(), ids=UNREADABLE.keys())
async def test_what_cannot_be_read_is_an_error_each_time_and_read_again(answer: bytes, tmp_path: Path) -> None:
    clock = FakeClock()
    answers = [answer] * (2 if answer == b"" else 1)  # the client repeats a read whose connection breaks
    async with server([*answers, stream(body(ONE))], tmp_path) as (api, _):
        ranges = LimitRangeReads(api, monotonic=clock.monotonic)

        with pytest.raises(UnavailableError) as raised:
            await ranges.bounds("red")

        assert raised.value.reason == "limit-ranges"
        assert str(raised.value).startswith("the LimitRanges of namespace red could not be read: ")
        assert await ranges.bounds("red") == {"cpu": Bounds(most=NANOS)}


async def test_many_namespaces_do_not_fill_the_memory(tmp_path: Path) -> None:
    async with server([stream(body())] * 3, tmp_path) as (api, _):
        ranges = LimitRangeReads(api, monotonic=FakeClock().monotonic, most=2)
        for name in ("a", "b", "c"):
            await ranges.bounds(name)

        assert len(ranges) == 1
