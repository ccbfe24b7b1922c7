"""Reading a policy takes work in proportion to its length: a ConfigMap holds 20 000 users."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from webhook.documents.policy_text import PolicyText, read_policy


def steps_to_read(text: str) -> int:
    """Return how many lines of Python run while *text* is read; loops on one line count once a turn."""
    steps = 0

    def count(_: FrameType, event: str, __: object) -> Any:
        nonlocal steps
        steps += event == "line"
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        read_policy([PolicyText("policy.yaml", text)])
    finally:
        sys.settrace(before)
    return steps


def users(count: int) -> str:
    entries = "".join(f"  user-{number}: {{hard: {{cpu: {number}, pods: 4}}}}\n" for number in range(count))
    return f"version: 1\nusers:\n{entries}"


def groups(count: int) -> str:
    entries = "".join(f"  group-{number}: {{pool: {{hard: {{cpu: 4}}}}}}\n" for number in range(count))
    return f"version: 1\ngroups:\n{entries}"


def members(count: int) -> str:
    return f"version: 1\ngroups: {{all: {{members: [{', '.join(f'user-{number}' for number in range(count))}]}}}}\n"


def mistakes(count: int) -> str:
    entries = "".join(f"  user-{number}: {{hard: {{cpu: 1K}}}}\n" for number in range(count))
    return f"version: 1\nusers:\n{entries}"


def resources(count: int) -> str:
    entries = "".join(f"    example.com/device-{number}: 1\n" for number in range(count))
    return f"version: 1\ncluster:\n  hard:\n{entries}"


def weights(count: int) -> str:
    entries = "".join(f"    example.com/device-{number}-*: 1/{number + 1}\n" for number in range(count))
    return f"version: 1\nresources:\n  gpu:\n{entries}"


def catalogue(count: int) -> str:
    entries = "".join(f"  example.com/device-{number}: {{unit: pieces, default: 1}}\n" for number in range(count))
    limits = "".join(f"    example.com/devise-{number}: 1\n" for number in range(count))
    return f"version: 1\nresources:\n{entries}cluster:\n  hard:\n{limits}"


@pytest.mark.parametrize(
    "text", [users, groups, members, mistakes, resources, weights, catalogue], ids=lambda text: text.__name__
)
def test_twice_the_text_takes_twice_the_work(text: Callable[[int], str]) -> None:
    small, large = steps_to_read(text(200)), steps_to_read(text(400))

    assert large < 2.2 * small
