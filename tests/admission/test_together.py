"""Several requests decided as if those before each were stored: what each leaves; nothing is held afterwards."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from tests.admission.asking import Json, Webhook, a_review, pod, request_of
from tests.admission.test_advice import Advised, deployment
from tests.contracts.test_ledger_store import World, share
from tests.fakes import FakeLedgerObject
from webhook.admission.review import AdmissionRequest
from webhook.admission.together import decide_together
from webhook.admission.verdicts import Together
from webhook.ports import Decide, UnavailableError
from webhook.quota.decision import Decision
from webhook.quota.objects import ObjectKey, StoredVersion
from webhook.quota.reservation import Charge, Reservation
from webhook.quota.resources import show_list
from webhook.quota.subject import Payer, user

CPU3 = "version: 1\ndefaults: {user: {hard: {cpu: 3}}}\n"


def creates(*documents: Json, resource: str = "", **request: Any) -> list[AdmissionRequest]:
    """Return the creates of objects as somebody sends them; the resource follows from the kind."""
    plurals = {"Pod": "pods", "Deployment": "deployments.apps", "CronJob": "cronjobs.batch"}
    return [
        request_of(
            a_review(
                resource or plurals[each["kind"]],
                object={**each, "metadata": {**each["metadata"], "annotations": {}}},
                name=each["metadata"]["name"],
                **request,
            )
        )
        for each in documents
    ]


async def together(webhook: Webhook, requests: list[AdmissionRequest], advised: Advised | None = None) -> Together:
    advice = (advised or Advised(CPU3)).advice
    deadline = webhook.clock.monotonic() + 5
    return await decide_together(webhook.handler, advice, requests, index=webhook.index, deadline=deadline)


async def of(policy: str, *documents: Json, has: tuple[str, ...] = ()) -> Together:
    advised = Advised(policy)
    advised.has(*has)
    webhook = advised.webhook
    came = await together(webhook, creates(*documents), advised)
    assert list(webhook.index.reservations()) == []
    return came


def fits(came: Together) -> list[bool]:
    return [each.fits for each in came.verdicts]


ORDERS = {
    "the larger one first": (("2", "2", "1"), [True, False, True]),
    "the larger ones last": (("1", "2", "2"), [True, True, False]),
    "none": (("4",), [False]),
    "all": (("1", "1", "1"), [True, True, True]),
}


@pytest.mark.parametrize(("cpus", "expected"), ORDERS.values(), ids=ORDERS.keys())
async def test_each_is_decided_on_what_those_before_it_leave(cpus: tuple[str, ...], expected: list[bool]) -> None:
    came = await of(CPU3, *(pod(f"p{number}", cpu) for number, cpu in enumerate(cpus)))
    assert fits(came) == expected


async def test_a_refusal_has_the_words_of_the_webhook_as_if_those_before_were_stored() -> None:
    came = await of(CPU3, pod("a", "2"), pod("b", "2"))
    [refusal] = came.verdicts[1].refusals
    assert refusal == (
        "exceeded quota: defaults.user, requested: requests.cpu=2, used: requests.cpu=2, limited: requests.cpu=3, "
        "reserved: requests.cpu=0, free: requests.cpu=1 for user/alice; would fit: requests.cpu=1; "
        "charged to alice (created it)"
    )


async def test_what_is_in_flight_is_told_apart() -> None:
    webhook = Webhook(CPU3)
    webhook.index.reserve(
        Reservation(ObjectKey("pods", "red", "x"), "uid-of-x", 0, Payer("alice"), (("requests.cpu", 10**9),))
    )
    came = await together(webhook, creates(pod("a", "1"), pod("b", "2")))
    assert "used: requests.cpu=1, limited: requests.cpu=3, reserved: requests.cpu=1" in came.verdicts[1].refusals[0]


async def test_what_each_limit_leaves_and_what_all_adds() -> None:
    policy = "version: 1\ndefaults: {user: {hard: {cpu: 3}, perPod: {cpu: 2}}}\ncluster: {hard: {pods: 9}}\n"
    came = await of(policy, pod("a", "2"), pod("b", "1"))
    left = [(each.limit.entry, each.limit.resource, each.free // 10**9) for each in came.left]
    assert left == [("defaults.user", "requests.cpu", 0), ("cluster", "pods", 7)]
    second = came.verdicts[1]
    free = [(each.limit.entry, each.free // 10**9) for each in second.rooms]
    assert free == [("defaults.user.perPod", 2), ("defaults.user", 1), ("cluster", 8)]
    assert show_list(second.adds) == "count/pods=1,pods=1,requests.cpu=1"


WORKLOADS: dict[str, tuple[str, list[Json], list[bool]]] = {
    "its pods are held": (CPU3, [deployment(2, cpu="1"), pod("p", "2")], [True, False]),
    "so is as much of it as comes": (CPU3, [deployment(5, cpu="1"), pod("p", "1")], [False, False]),
    "beside what was held before": (CPU3, [pod("p", "2"), deployment(2, cpu="1")], [True, False]),
    "nothing of it is, if it is refused": (
        CPU3.replace("}}}", "}, workloads: deny}}"),
        [deployment(5, cpu="1"), pod("p", "3")],
        [False, True],
    ),
    "its pods are refused by a limit that it is not judged by": (
        CPU3.replace("}}}", "}, workloads: off}}"),
        [deployment(5, cpu="1")],
        [False],
    ),
    "a limit that only warns refuses none of them": (
        CPU3.replace("}}}", "}, mode: warn}}"),
        [deployment(5, cpu="1"), pod("p", "3")],
        [True, True],
    ),
}


@pytest.mark.parametrize(("policy", "documents", "expected"), WORKLOADS.values(), ids=WORKLOADS.keys())
async def test_a_workload_counts_by_its_pods(policy: str, documents: list[Json], expected: list[bool]) -> None:
    assert fits(await of(policy, *documents)) == expected


async def test_how_many_pods_of_a_workload_are_made() -> None:
    [verdict] = (await of(CPU3, deployment(5, cpu="1"))).verdicts
    assert verdict.workload is not None
    assert (verdict.workload.fitting.fits, verdict.workload.fitting.number, verdict.workload.noun) == (3, 5, "replicas")
    assert show_list(verdict.adds) == "count/pods=5,pods=5,requests.cpu=5"
    assert "would fit: 3 of 5 replicas" in verdict.refusals[0]


async def test_the_pods_that_a_workload_has_count_once() -> None:
    advised = Advised("version: 1\ndefaults: {user: {hard: {pods: 3}}}\n")
    advised.has("web-1", "web-2")
    old, new = deployment(2), deployment(3)
    change = request_of(a_review("deployments.apps", "UPDATE", object=new, oldObject=old, name="web"))
    came = await together(advised.webhook, [change, *creates(pod("p", ""))], advised)
    assert fits(came) == [True, False]
    assert show_list(came.verdicts[0].adds) == "count/pods=1,pods=1"


async def test_what_a_schedule_makes_takes_no_room_now() -> None:
    spec = {"schedule": "* * * * *", "jobTemplate": {"spec": {"parallelism": 3, **pods_of("1")}}}
    cron = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "c", "namespace": "red", "uid": "uid-of-c"},
    }
    came = await of(CPU3, {**cron, "spec": spec}, pod("p", "3"))
    assert fits(came) == [True, True]
    assert came.verdicts[0].adds == ()


def pods_of(cpu: str) -> Json:
    return {"template": {"spec": pod(cpu=cpu)["spec"]}}


async def test_a_rolling_update_that_will_have_no_room_is_told_of() -> None:
    came = await of(CPU3, deployment(3, cpu="1"))
    assert came.verdicts[0].fits
    [note] = came.verdicts[0].notes
    assert note == (
        "the rolling update needs 1 more pod than is free: defaults.user: requests.cpu free 0 of 3; "
        "maxSurge: 0 with maxUnavailable: 1 would do"
    )


@pytest.mark.parametrize("entry", ["perPod: {cpu: 500m}", "hard: {cpu: 1}"])
async def test_of_what_a_limit_in_warn_mode_would_refuse_no_rolling_update_is_told(entry: str) -> None:
    came = await of(f"version: 1\ndefaults: {{user: {{{entry}, mode: warn}}}}\n", deployment(3, cpu="1"))
    [note] = came.verdicts[0].notes
    assert " fit" in note


WARNED_OF = {
    "another limit refuses the workload itself": (
        "{hard: {cpu: 1}, mode: warn}",
        "cluster: {hard: {count/deployments.apps: 0}}\n",
        deployment(3, cpu="1"),
    ),
    "its pods are refused for what they do not declare": (
        "{hard: {cpu: 1}, mode: warn}",
        "missing: {memory: require}\ncluster: {hard: {memory: 9Gi}}\n",
        deployment(3, cpu="1"),
    ),
    "more of its pods fit under a limit that refuses": (
        "{hard: {cpu: 1}, mode: warn}",
        "cluster: {hard: {cpu: 2}}\n",
        deployment(3, cpu="1"),
    ),
}


@pytest.mark.parametrize(("user_entry", "other", "workload"), WARNED_OF.values(), ids=WARNED_OF.keys())
async def test_a_limit_in_warn_mode_is_told_of_beside_refusals_by_others(
    user_entry: str, other: str, workload: Json
) -> None:
    [verdict] = (await of(f"version: 1\ndefaults: {{user: {user_entry}}}\n{other}", workload)).verdicts
    assert not verdict.fits
    assert any("fit now: over quota defaults.user: requests.cpu" in each for each in verdict.notes)


REFUSED = {
    "too many": CPU3,
    "not declared": f"missing: {{memory: require}}\n{CPU3}cluster: {{hard: {{memory: 9Gi}}}}\n",
    "below a minimum": CPU3.replace("}}}", "}, minPerPod: {cpu: 2}}}"),
}


@pytest.mark.parametrize("policy", REFUSED.values(), ids=REFUSED.keys())
async def test_what_a_refusal_says_is_not_told_again(policy: str) -> None:
    [verdict] = (await of(policy, deployment(5, cpu="1"))).verdicts
    assert not verdict.fits
    assert verdict.notes == ()


async def test_what_is_refused_before_the_ledger_holds_nothing() -> None:
    webhook = Webhook(CPU3)
    webhook.names.holders[ObjectKey("pods", "red", "a")] = StoredVersion("another", 4)
    came = await together(webhook, creates(pod("a", "3"), pod("b", "3")))
    assert fits(came) == [False, True]
    assert came.verdicts[0].refusals == ('pods "a" already exists',)


async def test_an_error_in_the_middle_leaves_nothing_held_and_no_verdict() -> None:
    webhook = Webhook(CPU3)
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "c", "namespace": "red", "uid": "uid-of-c"},
        "spec": {"resources": {"requests": {"storage": "1Gi"}}},
    }
    asked = 0
    require_known = webhook.names.require_known

    def only_once(resource: str, *, is_session: bool = False) -> None:
        nonlocal asked
        asked += resource == "persistentvolumeclaims"
        if asked > 1:  # the first is before the ledger
            assert webhook.index.reserved(user("alice"), "requests.cpu") == 10**9
            raise UnavailableError("not-synced", "not all claims are known")
        require_known(resource, is_session=is_session)

    webhook.names.require_known = only_once  # type: ignore[method-assign]
    requests = [*creates(pod("a", "1")), *creates(claim, resource="persistentvolumeclaims")]
    with pytest.raises(UnavailableError, match="not all claims"):
        await together(webhook, requests)
    assert list(webhook.index.reservations()) == []
    assert webhook.index.allocated(user("alice"), "requests.cpu") == 0


async def test_a_trouble_of_the_ledger_is_no_verdict() -> None:
    webhook = Webhook(CPU3)
    webhook.condition = replace(webhook.condition, ok=False, reason="not-synced", message="behind")
    with pytest.raises(UnavailableError, match="behind"):
        await together(webhook, creates(pod("a", "1")))


async def test_a_workload_of_which_nothing_can_be_told_does_not_fit() -> None:
    broken = deployment(1)
    broken["spec"]["template"]["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "much"}}
    [verdict] = (await of(CPU3, broken)).verdicts
    assert verdict.refusals[0].startswith("could not determine whether its pods fit: ")


async def test_what_a_real_request_holds_stays_held() -> None:
    webhook = Webhook(CPU3)
    in_flight = Reservation(ObjectKey("pods", "red", "a"), "uid-of-a", 0, Payer("alice"), (("requests.cpu", 10**9),))
    webhook.index.reserve(in_flight)
    assert fits(await together(webhook, creates(pod("a", "1"), pod("b", "2")))) == [True, True]
    assert list(webhook.index.reservations()) == [in_flight]


async def test_no_other_request_sees_what_is_held() -> None:
    webhook = Webhook(CPU3)
    checks = [asyncio.create_task(together(webhook, creates(*(pod(f"p{one}") for one in range(3))))) for _ in range(3)]
    answers = [await webhook.ask(a_review(object=pod(f"real-{one}"), name=f"real-{one}")) for one in range(3)]
    assert [each.allowed for each in answers] == [True, True, True]
    await asyncio.gather(*checks)
    assert webhook.held(user("alice"), "requests.cpu") == 3 * 10**9


async def test_with_the_shared_ledger_real_requests_see_nothing_of_it_and_nothing_is_written() -> None:
    webhook, world, stored_in = Webhook(CPU3), World(), FakeLedgerObject()
    world.index = webhook.index
    ledger = share(stored_in, world)
    await ledger._stored_ledger.read()
    stored_in.accesses.clear()
    webhook.handler = replace(webhook.handler, ledger=ledger)
    assert fits(await together(webhook, creates(pod("a", "2"), pod("b", "2")))) == [True, False]
    assert set(stored_in.accesses) == {"read"}

    checks = [asyncio.create_task(together(webhook, creates(*(pod(f"p{one}") for one in range(3))))) for _ in range(3)]
    real = [asyncio.create_task(webhook.ask(a_review(object=pod(f"r{one}"), name=f"r{one}"))) for one in range(3)]
    assert [(await each).allowed for each in real] == [True, True, True]
    await asyncio.gather(*checks)
    assert sorted(each.key.name for each in webhook.index.reservations()) == ["r0", "r1", "r2"]


class AskingTwice:
    """A ledger that decides anew, as the shared one does after another replica was faster."""

    def __init__(self, webhook: Webhook) -> None:
        self.webhook = webhook
        self.calls = 0

    async def transact(self, charge: Charge, decide: Decide, *, dry_run: bool, deadline: float) -> Decision:
        self.calls += 1
        decide(self.webhook.index)
        self.webhook.shows("other", {"requests.cpu": 2 * 10**9})
        return await self.webhook.ledger.transact(charge, decide, dry_run=dry_run, deadline=deadline)


async def test_the_ledger_decides_all_at_once_and_the_newest_usage_counts() -> None:
    webhook = Webhook(CPU3)
    ledger = AskingTwice(webhook)
    handler = replace(webhook.handler, ledger=ledger)
    requests = creates(pod("a", "1"), pod("b", "1"))
    came = await decide_together(handler, Advised(CPU3).advice, requests, index=webhook.index, deadline=1e9)
    assert (ledger.calls, fits(came)) == (1, [True, False])
    assert [show_list(each.adds) for each in came.verdicts] == ["count/pods=1,pods=1,requests.cpu=1"] * 2
