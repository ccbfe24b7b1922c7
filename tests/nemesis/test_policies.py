"""The limits of a run: two people have plenty of room, which is lowered to about what is used now and then."""

from __future__ import annotations

import random

import pytest

from nemesis import policies
from nemesis.accounting import UNIT, Key, Limits
from nemesis.workload import USERS


def pods(text: str, subject: str) -> int:
    hard = Limits(text).hard(Key(subject, "pods"))
    assert hard is not None
    return int(hard) // UNIT


def test_some_have_plenty_of_room_and_others_none() -> None:
    text = policies.text(policies.usual(), {})

    assert {each: pods(text, f"user/{each}") for each in USERS} == {
        "alice": 13,
        "bob": 13,
        "carol": 13,
        "dave": 500,
        "erin": 500,
    }
    assert pods(text, "cluster") == 1000
    assert pods(text, "group/ml") == 22


@pytest.mark.parametrize("subject", ["user/dave", "cluster"])
def test_what_is_plenty_is_lowered_now_and_then(subject: str) -> None:
    chance = random.Random(1)  # noqa: S311 - it draws limits
    seen = {pods(policies.text(policies.changed(chance), {}), subject) for _ in range(100)}

    plenty = pods(policies.text(policies.usual(), {}), subject)
    assert plenty in seen
    assert min(seen) == plenty // 50
    assert max(seen - {plenty}) <= plenty * 15 // 100
