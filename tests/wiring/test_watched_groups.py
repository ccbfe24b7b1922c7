"""What a replica may decide while Groups are not listed, not served, cannot be read, or their watch is silent."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.kube.scripted import Answers, listed_by_watch, server
from webhook.kube.api import KubernetesApi
from webhook.ports import READY, UnavailableError
from webhook.quota.membership import GroupObjects, GroupsByMember
from webhook.quota.policy import Group, Policy
from webhook.wiring.watched_groups import WatchedGroups

ASKING = Policy(groups={"ml": Group()}, group_objects=GroupObjects.OPENSHIFT)
REFUSAL = b'\r\nContent-Length: 18\r\n\r\n{"kind": "Status"}'
NOT_FOUND, FORBIDDEN = (b"HTTP/1.1 " + status + REFUSAL for status in (b"404 Not Found", b"403 Forbidden"))


def a_group(name: str, users: object) -> dict[str, object]:
    return {"metadata": {"name": name, "resourceVersion": "5"}, "users": users}


@dataclass
class Stage:
    """Groups of a scripted API, and a monotonic clock that a test turns."""

    api: KubernetesApi
    scripted: Answers
    now: float = 1000.0
    told: list[GroupsByMember] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.groups = WatchedGroups(
            self.api,
            on_change=lambda groups, _: self.told.append(groups),
            store_version=self.version,
            monotonic=lambda: self.now,
        )

    async def version(self) -> int:
        return 9

    def why_not(self) -> str:
        """Return why nothing can be decided, with the reason for metrics; empty if it can."""
        try:
            self.groups.require_known()
        except UnavailableError as error:
            told = f"{error.reason}: {error}{' everywhere' if error.affects_all else ''}"
        else:
            return ""
        shown = self.groups.condition()
        assert told.startswith(f"{shown.reason}: {shown.message}")
        return told

    async def until(self, claim: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not claim():  # noqa: ASYNC110 - what is waited for is in another task
                await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def stage(folder: Path, *answers: bytes) -> AsyncIterator[Stage]:
    async with server(list(answers), folder) as (api, scripted):
        found = Stage(api, scripted)
        run = asyncio.create_task(found.groups.run())
        yield found
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (ASKING, "groups: the groups.user.openshift.io are not all known yet everywhere"),
        (Policy(group_objects=GroupObjects.OPENSHIFT), ""),
        (Policy(groups={"ml": Group()}), ""),
    ],
    ids=["a policy with groups", "without a group", "that asks for none"],
)
async def test_nothing_is_decided_before_they_are_listed_if_limits_depend_on_them(
    tmp_path: Path, policy: Policy, expected: str
) -> None:
    async with stage(tmp_path, FORBIDDEN) as found:
        found.groups.follow(policy)
        assert found.why_not() == expected
        if policy is ASKING:
            await found.until(lambda: bool(found.scripted.requests))
            assert found.why_not() == expected


async def test_no_request_is_made_before_a_policy_asks_for_them(tmp_path: Path) -> None:
    async with stage(tmp_path, listed_by_watch(a_group("ml", ["alice"]))) as found:
        found.groups.follow(Policy(groups={"ml": Group()}))
        await asyncio.sleep(0.1)
        assert found.scripted.requests == []

        found.groups.follow(ASKING)
        await found.until(lambda: found.told == [{"alice": frozenset({"ml"})}])
        assert (found.why_not(), found.groups.condition()) == ("", READY)


async def test_where_the_api_does_not_serve_them_nobody_is_listed_and_that_is_told(tmp_path: Path) -> None:
    async with stage(tmp_path, NOT_FOUND) as found:
        found.groups.follow(ASKING)
        await found.until(lambda: not found.groups.condition().message.endswith("known yet"))
        assert found.groups.condition().message == "the API serves no groups.user.openshift.io: they list nobody"
        found.groups.require_known()


async def test_a_watch_that_is_silent_for_long_is_not_believed(tmp_path: Path) -> None:
    async with stage(tmp_path, listed_by_watch(a_group("ml", ["alice"]))) as found:
        found.groups.follow(ASKING)
        await found.until(lambda: bool(found.told))

        found.now += 180
        assert found.why_not() == ""
        found.now += 1
        assert found.why_not() == "groups: the watch of groups.user.openshift.io has shown nothing for 181 s"


@pytest.mark.parametrize(
    ("name", "expected"),
    [("ml", "groups: the users of groups.user.openshift.io ml cannot be read everywhere"), ("other", "")],
    ids=["of a group in the policy", "of another"],
)
async def test_a_group_whose_users_cannot_be_read_is_not_taken_for_empty(
    tmp_path: Path, name: str, expected: str
) -> None:
    async with stage(tmp_path, listed_by_watch(a_group("staff", ["bob"]), a_group(name, {"alice": True}))) as found:
        found.groups.follow(ASKING)
        await found.until(lambda: bool(found.told))
        assert found.why_not() == expected
