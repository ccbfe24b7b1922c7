"""What classes of the cluster fill into pods: what is read, how long it is used, and what is an error."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import FakeClock
from tests.kube.scripted import server, stream
from webhook.kube.pod_classes import PodClassReads
from webhook.ports import UnavailableError
from webhook.quota.quantity import parse


def listed(**classes: dict[str, Any]) -> bytes:
    return stream(
        json.dumps({"items": [{"metadata": {"name": name}, **each} for name, each in classes.items()]}).encode()
    )


KATA = listed(kata={"handler": "kata", "overhead": {"podFixed": {"cpu": "250m"}}}, runc={"handler": "runc"})


async def test_overheads_are_read_together_and_used_for_a_second(tmp_path: Path) -> None:
    clock = FakeClock()
    async with server([KATA, listed()], tmp_path) as (api, answers):
        classes = PodClassReads(api, monotonic=clock.monotonic)

        first = await asyncio.gather(*(classes.overheads() for _ in range(5)))
        clock.pass_by(1.1)
        second = await classes.overheads()

    assert first == [{"kata": {"cpu": parse("250m")}}] * 5
    assert second == {}
    assert [each.split()[1] for each in answers.requests] == ["/apis/node.k8s.io/v1/runtimeclasses"] * 2


def priorities(**values: tuple[int, bool]) -> bytes:
    return listed(
        **{name: {"value": value, "globalDefault": is_default} for name, (value, is_default) in values.items()}
    )


DEFAULTS = {
    "none": (priorities(high=(9, False)), ""),
    "no class": (priorities(), ""),
    "one": (priorities(high=(9, False), usual=(5, True)), "usual"),
    "of two the lowest": (priorities(high=(9, True), low=(-5, True)), "low"),
    "of equal ones the first": (priorities(b=(5, True), a=(5, True)), "a"),
}


@pytest.mark.parametrize(("answer", "name"), DEFAULTS.values(), ids=DEFAULTS.keys())
async def test_the_default_priority_class_is_read(answer: bytes, name: str, tmp_path: Path) -> None:
    async with server([answer], tmp_path) as (api, answers):
        classes = PodClassReads(api, monotonic=FakeClock().monotonic)
        assert [await classes.default_priority_class() for _ in range(2)] == [name, name]

    assert [each.split()[1] for each in answers.requests] == ["/apis/scheduling.k8s.io/v1/priorityclasses"]


async def test_while_priority_classes_cannot_be_read_that_is_an_error(tmp_path: Path) -> None:
    async with server([stream(b"[]")], tmp_path) as (api, _):
        with pytest.raises(UnavailableError, match="the PriorityClasses could not be read: ") as raised:
            await PodClassReads(api, monotonic=FakeClock().monotonic).default_priority_class()

    assert raised.value.reason == "priority-classes"


FORBIDDEN = b'{"kind":"Status","code":403,"reason":"Forbidden","message":"it is forbidden"}'
UNREADABLE = {
    "a refusal": b"HTTP/1.1 403 Forbidden\r\nContent-Length: %d\r\n\r\n%s" % (len(FORBIDDEN), FORBIDDEN),
    "no list": stream(b"[]"),
    "no quantity": listed(kata={"overhead": {"podFixed": {"cpu": "x"}}}),
    "no answer": b"",
}


@pytest.mark.parametrize("answer", UNREADABLE.values(), ids=UNREADABLE.keys())
async def test_what_cannot_be_read_is_an_error_and_read_again(answer: bytes, tmp_path: Path) -> None:
    answers = [answer] * (2 if answer == b"" else 1)  # the client repeats a read whose connection breaks
    async with server([*answers, KATA], tmp_path) as (api, _):
        classes = PodClassReads(api, monotonic=FakeClock().monotonic)

        with pytest.raises(UnavailableError) as raised:
            await classes.overheads()

        assert raised.value.reason == "runtime-classes"
        assert str(raised.value).startswith("the RuntimeClasses could not be read: ")
        assert list(await classes.overheads()) == ["kata"]
