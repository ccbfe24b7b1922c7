"""What `/readyz` tells of a policy that is in force and surely not meant."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tests.fakes import FakeClock
from webhook.documents.policy_text import PolicyText
from webhook.policy_source import CurrentPolicy
from webhook.ports import READY
from webhook.quota.objects import ObjectKey
from webhook.quota.policy import Policy, accounts_under
from webhook.quota.subject import Payer
from webhook.quota.usage import Row, UsageIndex
from webhook.wiring.application import policy_remarks


class Stage:
    """A policy in force, its remarks, and an index of objects."""

    def __init__(self) -> None:
        self.clock = FakeClock(wall=datetime(2026, 6, 1, tzinfo=UTC))
        self.policy = CurrentPolicy(on_change=lambda _: None, on_mistakes=lambda _: None)
        self.index = UsageIndex(accounts_under(Policy(), lambda _: {}))
        self.exempt = frozenset[str]()
        self.remarks = policy_remarks(self.policy, self.clock, self.index, lambda: self.exempt)

    def write(self, text: str) -> None:
        self.policy.take([PolicyText("limits/policy.yaml", f"version: 1\n{text}\n")])

    def create(self, name: str, *devices: str) -> None:
        amounts = tuple((f"requests.{each}", 1) for each in sorted(devices))
        self.index.observe(ObjectKey("pods", "red", name), Row(name, 1, Payer("alice"), amounts))

    def told(self) -> str:
        return self.remarks.condition().message


def test_without_a_policy_or_a_note_nothing_is_told() -> None:
    stage = Stage()
    assert stage.remarks.condition() is READY
    stage.write("cluster: {hard: {memory: 8Gi}}")
    assert stage.remarks.condition() is READY


def test_notes_are_told_with_their_place_until_the_text_is_mended() -> None:
    stage = Stage()
    stage.write("cluster: {hard: {memory: 8, cpu: 4Gi}}")
    assert stage.told() == (
        "limits/policy.yaml:2:26: cluster.hard.memory: 8 is 8 bytes, did you mean 8Gi?; "
        "limits/policy.yaml:2:34: cluster.hard.cpu: 4Gi is 4294967296 cores, did you mean 4?"
    )
    stage.write("cluster: {hard: {memory: 8Gi}}")
    assert stage.told() == ""


def test_notes_are_those_of_the_policy_in_force() -> None:
    stage = Stage()
    stage.write("cluster: {hard: {memory: 8}}")
    stage.write("cluster: {hard: {memory: 9, cpu: x}}")
    assert stage.policy.state.mistakes
    assert stage.told() == "limits/policy.yaml:2:26: cluster.hard.memory: 8 is 8 bytes, did you mean 8Gi?"


def test_what_ends_is_told_soon_after() -> None:
    stage = Stage()
    stage.write("users: {alice: {hard: {cpu: 1}, until: 2026-06-01T00:01:00Z}}")
    assert stage.told() == "limits/policy.yaml:2:40: users.alice.until: ends at 2026-06-01T00:01:00Z"
    stage.clock.wall = datetime(2026, 6, 1, 0, 1, tzinfo=UTC)
    stage.clock.pass_by(60)
    assert stage.told() == (
        "limits/policy.yaml:2:40: users.alice.until: ended at 2026-06-01T00:01:00Z: it binds nobody any more"
    )


@pytest.mark.parametrize(
    ("now", "is_told"),
    [("2026-05-25T00:00:59Z", False), ("2026-05-25T00:01:00Z", True), ("2026-06-01T00:00:59Z", True)],
)
def test_what_ends_is_told_seven_days_before(now: str, *, is_told: bool) -> None:
    stage = Stage()
    stage.clock.wall = datetime.fromisoformat(now)
    stage.write("exempt: [{user: eve, reason: x, until: 2026-06-01T00:01:00Z}]\ncluster: {hard: {pods: 1}}")
    told = "limits/policy.yaml:2:40: exempt[0].until: ends at 2026-06-01T00:01:00Z"
    assert stage.told() == (told if is_told else "")


def test_devices_that_objects_ask_for_are_known() -> None:
    stage = Stage()
    stage.write("cluster: {hard: {acme.com/fpgas: 1}}")
    assert stage.told() == ""
    stage.create("a", "acme.com/fpga")
    stage.clock.pass_by(60)
    assert (
        stage.told()
        == "limits/policy.yaml:2:18: cluster.hard[acme.com/fpgas]: no known device, did you mean acme.com/fpga?"
    )
    stage.create("b", "acme.com/fpgas")
    stage.clock.pass_by(60)
    assert stage.told() == ""


def test_of_many_notes_the_first_are_told() -> None:
    stage = Stage()
    stage.write(f"users: {{{', '.join(f'u{number}: {{hard: {{memory: 8}}}}' for number in range(30))}}}")
    told = stage.told().split("; ")
    assert len(told) == 21
    assert told[-1] == "and 10 more"


def test_an_entry_of_a_namespace_is_told_while_the_webhooks_leave_it_out() -> None:
    stage = Stage()
    stage.write("namespaces: {net: {hard: {pods: 1}}}")
    assert stage.told() == ""
    stage.exempt = frozenset({"net"})
    stage.clock.pass_by(10)
    assert stage.told().startswith("limits/policy.yaml:2:19: namespaces.net: the webhooks leave namespace net out")
