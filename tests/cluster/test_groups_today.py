"""Groups whose members change while objects exist, on a real API server with OpenShift's kind of Group."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest

from tests.cluster.running import RunningWebhook, eventually, pod
from tests.cluster.test_who_pays import run
from tests.openshift_groups import Groups

FREE = "version: 1\ndefaults: {user: {hard: {pods: 50}}}\n"
ASKING = FREE + "attribution: {groupObjects: openshift}\n"
TODAY = ASKING + "groups: {ml: {membership: live, pool: {hard: {pods: 0}}}}\n"
"""alice and bob log in with the group ml, too. Nothing fits into the pool, so that a refusal tells what it holds."""


@pytest.fixture(scope="module")
def defined(running: RunningWebhook) -> Iterator[Groups]:
    groups = Groups(running.cluster)
    groups.define()
    yield groups
    groups.remove_definition()


@pytest.fixture
def groups(running: RunningWebhook, defined: Groups) -> Iterator[Groups]:
    yield defined
    running.set_policy(FREE)
    defined.delete()


@pytest.fixture
def standing(running: RunningWebhook, place: str) -> Callable[[], dict[str, str]]:
    """Return what the pool that binds each person holds: of alice, who made two pods, bob, who made one, and carol."""
    running.set_policy(FREE)
    for user, name in (("alice", "a1"), ("alice", "a2"), ("bob", "b1")):
        assert run(running, place, "create", "-f", "-", user=user, stdin=pod(name)) == f"pod/{name} created\n"

    def of_each() -> dict[str, str]:
        return {user: holds(running, place, user) for user in ("alice", "bob", "carol")}

    return of_each


def holds(running: RunningWebhook, place: str, user: str) -> str:
    """Return the groups that refuse *user* another pod, each with what it holds; empty if it would be created."""
    said = run(running, place, "create", "-f", "-", "--dry-run=server", user=user, stdin=pod("probe"))
    if said == "pod/probe created (server dry run)\n":
        return ""
    found = re.findall(r"groups\.(\w+)\.pool, requested: pods=1, used: pods=(\d+)", said)
    return " ".join(f"{name} {used}" for name, used in found) or said


def become(standing: Callable[[], dict[str, str]], **expected: str) -> None:
    """Wait until each of the three is bound as *expected*; who is not named is free."""
    wanted = {"alice": "", "bob": "", "carol": "", **expected}
    eventually(lambda: standing() == wanted, what=lambda: f"{standing()} instead of {wanted}")


def test_the_kind_may_be_installed_after_the_policy_that_asks_for_it(
    running: RunningWebhook, standing: Callable[[], dict[str, str]]
) -> None:
    groups = Groups(running.cluster)
    running.set_policy(TODAY)
    eventually(lambda: "the API serves no groups.user.openshift.io" in running.readiness(), what=running.readiness)
    assert running.readiness().startswith("ok\n")
    become(standing)

    groups.define()
    try:
        groups.put("ml", ["alice"])
        become(standing, alice="ml 2")
        assert running.readiness() == "ok\n"
    finally:
        running.set_policy(FREE)
        groups.remove_definition()


def test_members_come_and_go_while_their_objects_exist(
    running: RunningWebhook, groups: Groups, standing: Callable[[], dict[str, str]]
) -> None:
    groups.put("ml", None)
    running.set_policy(TODAY)
    become(standing)

    groups.put("ml", ["alice"])
    become(standing, alice="ml 2")
    groups.put("ml", ["bob", "alice"])
    become(standing, alice="ml 3", bob="ml 3")
    groups.put("ml", ["bob"])
    become(standing, bob="ml 1")
    groups.put("ml", ["carol"])
    become(standing, carol="ml 0")
    groups.put("ml", ["alice", "bob"])
    become(standing, alice="ml 3", bob="ml 3")
    groups.delete("ml")
    become(standing)


def test_the_policy_and_groups_list_members_together(
    running: RunningWebhook, groups: Groups, standing: Callable[[], dict[str, str]]
) -> None:
    groups.put("ml", ["alice", "carol"])
    listed = TODAY.replace("{membership", "{members: [bob, alice], membership")

    running.set_policy(listed)
    become(standing, alice="ml 3", bob="ml 3", carol="ml 3")
    groups.delete("ml")
    become(standing, alice="ml 3", bob="ml 3")
    running.set_policy(TODAY)
    become(standing)


def test_without_the_word_of_the_policy_groups_list_nobody(
    running: RunningWebhook, groups: Groups, standing: Callable[[], dict[str, str]]
) -> None:
    groups.put("guests", ["alice"])
    running.set_policy(FREE + "groups: {guests: {pool: {hard: {pods: 0}}}}\n")
    assert standing() == {"alice": "", "bob": "", "carol": ""}

    running.set_policy(ASKING + "groups: {guests: {pool: {hard: {pods: 0}}}}\n")
    become(standing, alice="guests 2")


def test_a_user_is_in_a_live_group_and_in_one_of_the_login(
    running: RunningWebhook, groups: Groups, standing: Callable[[], dict[str, str]]
) -> None:
    """Of the login's group what was made as a member counts in any case, also after the live group has lost them."""
    both = "groups: {ml: {pool: {hard: {pods: 0}}}, today: {membership: live, pool: {hard: {pods: 0}}}}\n"
    groups.put("today", ["alice", "carol"])
    running.set_policy(ASKING + both)
    logged_in = {user: "ml 3" for user in ("alice", "bob", "carol") if "ml" in standing()[user]}
    assert "alice" in logged_in

    become(standing, **logged_in | {user: f"{logged_in.get(user, '')} today 2".strip() for user in ("alice", "carol")})
    groups.put("today", ["bob"])
    become(standing, **logged_in | {"bob": f"{logged_in.get('bob', '')} today 1".strip()})


def test_odd_names_put_nobody_else_into_a_group(
    running: RunningWebhook, groups: Groups, standing: Callable[[], dict[str, str]]
) -> None:
    groups.put("ml", ["", None, "Alice", " bob", "carol", "carol"])
    groups.put("staff", ["alice"])
    running.set_policy(TODAY)

    become(standing, carol="ml 0")


def test_a_replica_that_starts_has_them_before_it_decides(
    running: RunningWebhook, groups: Groups, standing: Callable[[], dict[str, str]]
) -> None:
    groups.put("ml", ["alice", "bob"])
    running.set_policy(TODAY)
    become(standing, alice="ml 3", bob="ml 3")

    running.kill()
    groups.put("ml", ["alice"])
    running.start()
    running.wait_until_ready()

    assert standing() == {"alice": "ml 2", "bob": "", "carol": ""}


def test_a_group_of_ten_thousand(
    running: RunningWebhook, groups: Groups, standing: Callable[[], dict[str, str]]
) -> None:
    many: list[str | None] = [f"user-{number:05}@example.com" for number in range(10_000)]
    groups.put("ml", [*many, "alice"])
    running.set_policy(TODAY)
    become(standing, alice="ml 2")
    groups.put("ml", [*many[1:], "bob"])
    become(standing, bob="ml 1")
