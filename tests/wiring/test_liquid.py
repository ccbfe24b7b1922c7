"""What a broker is told of a replica, when it is told nothing, and which requests reach those who write."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from tests.fakes import FakeCapacity, FakeClock
from tests.liquid.scenes import CLASSES, changeset, commitment, of_class, request
from tests.view.scenes import LABELS, cost, put, scene
from webhook.documents.policy_text import PolicyText
from webhook.liquid.info import OutdatedError, digest_of
from webhook.liquid.offers import Offers
from webhook.liquid.ports import Decision
from webhook.liquid.projects import UnknownProjectError
from webhook.liquid.requests import CommitmentRequest, MalformedError, read_changes
from webhook.policy_source import CurrentPolicy
from webhook.ports import READY, Condition, UnavailableError
from webhook.quota.policy import accounts_under
from webhook.quota.quantity import NANOS
from webhook.quota.subject import Payer
from webhook.wiring.liquid import Liquid


class Stage:
    """A replica and what is written for a broker; a test says what is known. Versions count up from 7."""

    def __init__(self, text: str = CLASSES) -> None:
        self.scene = scene()
        index = self.scene.usage
        self.policy = CurrentPolicy(
            on_change=lambda new: index.rebind(accounts_under(new, self.labels), new.devices),
            on_mistakes=lambda _: None,
        )
        if text:
            self.policy.take([PolicyText("userquota-policy/policy.yaml", f"version: 1\n{text}")])
        self.condition = READY
        self.nodes = FakeCapacity({"gpu": 8 * NANOS})
        self.digests: list[str] = []
        self.decision = Decision()
        self.written: list[tuple[Any, ...]] = []
        self.liquid = Liquid(
            self.policy,
            index,
            conditions=[lambda: READY, lambda: self.condition],
            capacity=self.nodes,
            versions=self,
            quotas=Quotas(self),
            changes=self,
            clock=FakeClock(datetime(2026, 12, 1, tzinfo=UTC)),
        )

    def labels(self, name: str) -> Mapping[str, str]:
        return LABELS.get(name, {})

    async def version_of(self, digest: str) -> int:
        if digest not in self.digests:
            self.digests.append(digest)
        return 7 + self.digests.index(digest)

    async def change(self, request: CommitmentRequest, offers: Offers, tenants: Mapping[str, str]) -> Decision:
        self.written.append(("change", list(request.by_project), dict(tenants), len(offers.by_name)))
        return self.decision


class Quotas:
    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    async def of(self, tenant: str, offers: Offers) -> Mapping[str, int]:
        return {f"{tenant}": len(offers.by_name), "h100_gpu": 4}

    async def put(self, tenant: str, quotas: Mapping[str, int], offers: Offers) -> None:
        self._stage.written.append(("put", tenant, dict(quotas), len(offers.by_name)))


def changes(by_project: Any = None, **changed: Any) -> CommitmentRequest:
    return read_changes(request(by_project, **changed))


async def test_the_info_has_the_version_of_its_content() -> None:
    stage = Stage()

    info = await stage.liquid.info()

    assert info["version"] == 7
    assert stage.digests == [digest_of({name: each for name, each in info.items() if name != "version"})]
    stage.policy.take([PolicyText("p", f"version: 1\n{CLASSES}  more: {{namespaces: {{matchLabels: {{a: b}}}}}}")])
    assert (await stage.liquid.info())["version"] == 7
    stage.policy.take([PolicyText("p", f"version: 1\n{CLASSES.replace('GPUs', 'Chips')}")])
    assert (await stage.liquid.info())["version"] == 8


async def test_reports_have_that_version_too() -> None:
    stage = Stage()
    put(stage.scene, "a", Payer("alice"), cost(2), scopes=of_class("h100", "z"))

    capacity: Any = await stage.liquid.capacity(("z",))
    usage: Any = await stage.liquid.usage("p-1", ("z",))

    assert capacity["infoVersion"] == usage["infoVersion"] == 7
    assert capacity["resources"]["h100_gpu"] == {"perAZ": {"z": {"capacity": 8}}}
    assert usage["resources"]["h100_cpu"]["perAZ"]["z"] == {"usage": 2}
    assert (usage["resources"]["h100_cpu"]["quota"], usage["resources"]["h100_gpu"]["quota"]) == (-1, 4)


async def test_a_large_project_is_counted_in_steps() -> None:
    stage = Stage()
    for number in range(1000):
        put(stage.scene, f"p{number}", Payer("alice"), cost(1), scopes=of_class("h100", "z"))

    usage: Any = await stage.liquid.usage("p-1", ("z",))

    assert usage["resources"]["h100_cpu"]["perAZ"]["z"]["usage"] == 1000


@pytest.mark.parametrize("project", ["research", "p-2"])
async def test_a_project_without_a_tenant_is_unknown(project: str) -> None:
    stage = Stage()
    body = {project: {"byResource": {"h100_gpu": changeset(commitment())}}}

    with pytest.raises(UnknownProjectError):
        await stage.liquid.usage(project, ())
    with pytest.raises(UnknownProjectError):
        await stage.liquid.set_quotas(project, {"h100_gpu": 1})
    with pytest.raises(UnknownProjectError):
        await stage.liquid.change(changes(body))
    assert stage.written == []


async def test_what_asks_of_another_version_or_resource_writes_nothing() -> None:
    stage = Stage()
    other = {"p-1": {"byResource": {"h100_gpus": changeset(commitment())}}}

    with pytest.raises(OutdatedError) as outdated:
        await stage.liquid.change(changes(other, infoVersion=6))
    assert str(outdated.value) == "infoVersion: 6 is not the current version 7: read GET v1/info again"
    with pytest.raises(MalformedError) as malformed:
        await stage.liquid.change(changes(other))
    why = "there is no such resource, see GET v1/info"
    assert str(malformed.value) == f"byProject['p-1'].byResource['h100_gpus']: {why}"
    with pytest.raises(MalformedError) as malformed:
        await stage.liquid.set_quotas("p-1", {"h100_gpus": 1})
    assert str(malformed.value) == f"resources['h100_gpus']: {why}"
    assert stage.written == []


async def test_changes_and_quotas_reach_those_who_write_them() -> None:
    stage = Stage()

    assert await stage.liquid.change(changes()) == {}
    await stage.liquid.set_quotas("p-1", {"h100_gpu": 8})

    assert stage.written == [("change", ["p-1"], {"p-1": "research"}, 6), ("put", "research", {"h100_gpu": 8}, 6)]


async def test_a_refusal_says_why_and_when_to_try_again() -> None:
    stage = Stage()

    stage.decision = Decision("4 are free")
    assert await stage.liquid.change(changes()) == {"rejectionReason": "4 are free"}
    later = datetime(2027, 1, 1, 1, tzinfo=timezone(timedelta(hours=1)))
    stage.decision = Decision("4 are free", later)
    assert await stage.liquid.change(changes()) == {"rejectionReason": "4 are free", "retryAt": later}


async def told(coroutine: Any) -> str:
    with pytest.raises(UnavailableError) as error:
        await coroutine
    return str(error.value)


async def test_without_a_policy_nothing_is_told_and_nothing_written() -> None:
    liquid = Stage("").liquid

    calls = (
        liquid.info(),
        liquid.capacity(()),
        liquid.usage("p", ()),
        liquid.change(changes()),
        liquid.set_quotas("", {}),
    )
    assert [await told(each) for each in calls] == ["no policy is in force yet"] * 5


async def test_while_not_all_is_counted_there_are_no_reports_but_the_info() -> None:
    stage = Stage()
    stage.condition = Condition(ok=False, reason="not-synced", message="the pods are not all known yet")

    assert await told(stage.liquid.capacity(())) == "the pods are not all known yet"
    assert await told(stage.liquid.usage("p-1", ())) == "the pods are not all known yet"
    assert (await stage.liquid.info())["version"] == 7


async def test_nodes_that_are_not_known_are_no_capacity_of_nothing() -> None:
    stage = Stage()

    stage.nodes.error = UnavailableError("nodes", "not all known yet")
    assert await told(stage.liquid.capacity(("z",))) == "not all known yet"
    stage.nodes.amounts = stage.nodes.error = None
    assert await told(stage.liquid.capacity(("z",))) == "there are no nodes to ask"


async def test_a_policy_without_classes_offers_nothing_and_asks_no_nodes() -> None:
    stage = Stage("users: {}\n")
    stage.nodes.amounts = None

    assert (await stage.liquid.info())["resources"] == {}
    assert (await stage.liquid.capacity(("z",)))["resources"] == {}


def test_what_is_not_offered_is_a_remark() -> None:
    assert Stage().liquid.condition() == READY
    assert Stage("").liquid.condition() == READY
    condition = Stage("nodeClasses: {4x: {nodes: {matchLabels: {a: b}}}}\n").liquid.condition()

    assert (condition.ok, condition.reason) == (False, "liquid")
    assert condition.message.startswith("not offered to the broker: '4x_cpu': LIQUID wants a name of ")
