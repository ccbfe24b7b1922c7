"""What one session may ask for at most and has to ask for at least, beside the sums: its times and its least size."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.admission.asking import Answer, Json, Webhook, a_review, pod, stamped
from webhook.documents.shipped_presets import shipped
from webhook.kinds.counted import counted
from webhook.kinds.pods import PODS, PodEvaluator
from webhook.kinds.registry import KINDS, Registry
from webhook.kinds.session_kind import SessionEvaluator, session_kind

STREAMSPACE = shipped("streamspace")
PLAIN = counted(STREAMSPACE.resource, "stream.space/v1alpha1", "Session")
EVALUATOR = SessionEvaluator(PLAIN.count, [STREAMSPACE], frees_stopped=False, is_session=lambda _: False)
WITH_SESSIONS = Registry(*KINDS, session_kind(PLAIN, EVALUATOR, STREAMSPACE.controllers))
PRESETS = "version: 1\nsessions: {presets: [streamspace]}\n"


def session(cpu: str = "1", **spec: Any) -> Json:
    resources = {"resources": {"requests": {"cpu": cpu}}} if cpu else {}
    return {
        "apiVersion": "stream.space/v1alpha1",
        "kind": "Session",
        "metadata": {"name": "s", "namespace": "red", "uid": "u", "resourceVersion": "5"},
        "spec": {"user": "alice", **resources, **spec},
    }


def create(new: Json) -> Json:
    return a_review(STREAMSPACE.resource, object=new, name="s")


def update(old: Json, new: Json) -> Json:
    return a_review(STREAMSPACE.resource, "UPDATE", object=stamped(new), oldObject=stamped(old), name="s")


async def ask(policy: str, body: Json) -> Answer:
    return await Webhook(PRESETS + policy, kinds=WITH_SESSIONS).ask(body)


def reasons(answer: Answer) -> list[tuple[str, str]]:
    causes = answer.response["status"].get("details", {}).get("causes", [])
    return [(each["reason"], each["field"]) for each in causes]


TIMES = "defaults: {user: {perSession: {duration: 8h, idle: 30m}}}\n"
SET = {"maxSessionDuration": "8h", "idleTimeout": "30m"}


async def test_as_long_as_the_cap_is_allowed() -> None:
    assert (await ask(TIMES, create(session(**SET)))).allowed


async def test_a_session_that_asks_for_longer_is_refused_with_what_would_fit() -> None:
    refused = await ask(TIMES, create(session(**{**SET, "maxSessionDuration": "8h0m1s"})))
    assert refused.message == (
        "larger than quota: defaults.user.perSession, requested: duration=8h1s, limited: duration=8h for one session; "
        "would fit: duration=8h; charged to alice (created it)"
    )
    assert reasons(refused) == [("NeverFits", "duration")]


async def test_a_session_that_sets_no_time_is_refused_with_the_field() -> None:
    refused = await ask(TIMES, create(session(idleTimeout="1h")))
    assert refused.message == (
        "failed quota: defaults.user.perSession: must specify duration for: spec.maxSessionDuration; limited: "
        "duration=8h; larger than quota: defaults.user.perSession, requested: idle=1h, limited: idle=30m for one "
        "session; would fit: idle=30m; without duration a default of the platform would hold, which is not known; "
        "charged to alice (created it)"
    )
    assert reasons(refused) == [("FieldValueRequired", "duration"), ("NeverFits", "idle")]


async def test_where_nothing_bounds_a_time_nothing_is_said_of_it() -> None:
    for spec in ({}, {"maxSessionDuration": "9999h"}, {"maxSessionDuration": "for ever"}):
        assert (
            await ask("defaults: {user: {perSession: {cpu: 4, idle: unlimited}}}\n", create(session(**spec)))
        ).allowed


@pytest.mark.parametrize("spec", [{}, {"maxSessionDuration": "9h"}])
async def test_a_cap_that_only_warns_tells_of_both(spec: Json) -> None:
    policy = "defaults: {user: {mode: warn, perSession: {duration: 8h}}}\n"
    answer = await ask(policy, create(session(**spec)))
    assert answer.allowed
    assert any("duration" in each for each in answer.response["warnings"])


LONG, SHORT = session(maxSessionDuration="20h"), session(maxSessionDuration="7h")
UPDATES = {
    "a longer one is refused": (SHORT, session(maxSessionDuration="9h"), "requested: duration=9h"),
    "one that is too long may stay": (LONG, session("500m", maxSessionDuration="20h"), ""),
    "and become shorter": (LONG, session(maxSessionDuration="19h"), ""),
    "but not longer": (LONG, session(maxSessionDuration="21h"), "would fit: duration=20h"),
    "nobody takes the time out": (SHORT, session(), "must specify duration for: spec.maxSessionDuration"),
    "nor to 0": (SHORT, session(maxSessionDuration="0s"), "spec.maxSessionDuration (0 is no bound)"),
    "one without a time may be changed": (session(), session("500m"), ""),
    "and get one": (session(), SHORT, ""),
    "within the cap": (session(), LONG, "requested: duration=20h"),
    "one that is too long may be stopped": (LONG, session(maxSessionDuration="20h", state="hibernated"), ""),
}


@pytest.mark.parametrize(("old", "new", "refusal"), UPDATES.values(), ids=UPDATES)
async def test_only_what_grows_is_compared(old: Json, new: Json, refusal: str) -> None:
    answer = await ask("defaults: {user: {perSession: {duration: 8h}}}\n", update(old, new))
    assert answer.allowed is not bool(refusal)
    assert refusal in answer.message


async def test_the_shortest_of_several_caps_binds() -> None:
    policy = "defaults: {user: {perSession: {duration: 8h}}}\nnamespaces: {red: {perSession: {duration: 3600}}}\n"
    refused = await ask(policy, create(session(maxSessionDuration="90m")))
    assert "limited: duration=1h for one session; would fit: duration=1h" in refused.message
    assert "defaults.user" not in refused.message


# Minimums.

LEAST = """\
defaults:
  user:
    minPerPod: {cpu: 100m, memory: 128Mi, gpu: 1}
    minPerSession: {cpu: 1}
"""


def asking(cpu: str = "100m", memory: str = "128Mi", gpu: str = "1") -> Json:
    amounts = {"cpu": cpu, "memory": memory, "nvidia.com/gpu": gpu}
    made = pod(cpu="")
    made["spec"]["containers"][0]["resources"] = {"requests": {name: text for name, text in amounts.items() if text}}
    return made


EDGES = {
    "each minimum, exactly": (asking(), []),
    "more": (asking("64", "512Gi", "8"), []),
    "a billionth of a core less": (asking(cpu="99999999n"), ["requests.cpu"]),
    "a byte less": (asking(memory=str(128 * 2**20 - 1)), ["requests.memory"]),
    "none of one": (asking(gpu=""), ["gpu"]),
    "a written 0": (asking(cpu="0"), ["requests.cpu"]),
    "nothing at all": (asking("", "", ""), ["gpu", "requests.cpu", "requests.memory"]),
}


@pytest.mark.parametrize(("made", "short"), EDGES.values(), ids=EDGES)
async def test_a_pod_asks_for_each_minimum_or_is_refused(made: Json, short: list[str]) -> None:
    answer = await ask(LEAST, a_review("pods", object=made, name="pod"))
    assert answer.allowed is not bool(short)
    if short:
        assert sorted(reasons(answer)) == [("BelowMinimum", name) for name in short]


async def test_a_small_session_is_refused_before_the_quota_is_full() -> None:
    refused = await ask(LEAST, create(session("999m")))
    assert refused.message == (
        "below minimum: defaults.user.minPerSession, requested: requests.cpu=999m, minimum: requests.cpu=1 for one "
        "session; charged to alice (created it)"
    )
    assert (await ask(LEAST, create(session("1")))).allowed


async def test_a_session_of_which_another_object_decides_the_size_is_not_called_small() -> None:
    assert (await ask(LEAST, create(session("")))).allowed


MINIMUM_UPDATES = {
    "one that is too small may stay": (session("500m"), session("500m", idleTimeout="1h"), ""),
    "and become larger": (session("500m"), session("600m"), ""),
    "but not smaller": (session("500m"), session("400m"), "requested: requests.cpu=400m, minimum: requests.cpu=1"),
    "a large one becomes smaller": (session("4"), session("1"), ""),
    "but not too small": (session("4"), session("900m"), "requested: requests.cpu=900m"),
    "a size that is written later is judged": (session(""), session("400m"), "requested: requests.cpu=400m"),
    "a small one may be stopped": (session("500m"), session("500m", state="hibernated"), ""),
    "and started": (session("500m", state="hibernated"), session("500m"), ""),
}


@pytest.mark.parametrize(("old", "new", "refusal"), MINIMUM_UPDATES.values(), ids=MINIMUM_UPDATES)
async def test_an_older_session_is_refused_only_for_becoming_smaller(old: Json, new: Json, refusal: str) -> None:
    answer = await ask(LEAST, update(old, new))
    assert answer.allowed is not bool(refusal)
    assert refusal in answer.message


def resize(to: str, *, allocated: str = "") -> Json:
    old, new = stamped(asking("1")), stamped(asking(to))
    if allocated:
        held = {"cpu": allocated, "memory": "128Mi"}
        for each in (old, new):
            each["status"] = {"containerStatuses": [{"name": "main", "allocatedResources": held}]}
    return a_review("pods/resize", "UPDATE", object=new, oldObject=old, name="pod")


@pytest.mark.parametrize(("to", "is_allowed"), [("100m", True), ("99m", False)])
@pytest.mark.parametrize("allocated", ["", "1"], ids=["not started", "running"])
async def test_a_pod_is_not_made_smaller_than_the_minimum(to: str, allocated: str, *, is_allowed: bool) -> None:
    answer = await ask(LEAST, resize(to, allocated=allocated))
    assert answer.allowed is is_allowed
    assert "limited" not in answer.message


async def test_the_largest_of_several_minimums_binds() -> None:
    policy = "defaults: {user: {minPerSession: {cpu: 1}}}\nnamespaces: {red: {minPerSession: {cpu: 2}}}\n"
    refused = await ask(policy, create(session("1500m")))
    assert refused.message.startswith("below minimum: namespaces.red.minPerSession, ")
    assert "defaults.user" not in refused.message


async def test_an_own_minimum_of_0_lifts_the_default() -> None:
    assert (await ask(LEAST + "users: {alice: {minPerSession: {cpu: 0}}}\n", create(session("1m")))).allowed


async def test_a_minimum_that_only_warns_says_so() -> None:
    answer = await ask("defaults: {user: {mode: warn, minPerSession: {cpu: 1}}}\n", create(session("500m")))
    assert answer.allowed
    assert answer.response["warnings"] == [
        "below minimum defaults.user.minPerSession: requests.cpu requested 500m, minimum 1 for one session"
    ]


async def test_a_part_of_another_session_has_no_minimum() -> None:
    part = SessionEvaluator(PLAIN.count, [STREAMSPACE], frees_stopped=False, is_session=lambda _: True)
    kinds = Registry(*KINDS, session_kind(PLAIN, part, STREAMSPACE.controllers))
    made = session("1m")
    above = {"apiVersion": "stream.space/v1alpha1", "kind": "Session", "name": "all", "uid": "a", "controller": True}
    made["metadata"]["ownerReferences"] = [above]
    asked = Webhook(PRESETS + LEAST, kinds=kinds)
    reference = asked.owners.put("Session", "all", uid="a", owner="alice", api_version="stream.space/v1alpha1")
    assert reference.uid == "a"
    body = a_review(STREAMSPACE.resource, user=STREAMSPACE.controllers[0], object=made, name="s")
    answer = await asked.ask(body)
    assert answer.allowed, answer.message


async def test_a_pod_that_is_a_session_has_both_minimums() -> None:
    pods = PodEvaluator()
    pods.read_by([shipped("jupyterhub")])
    kinds = Registry(*(replace(each, evaluator=pods) if each is PODS else each for each in KINDS))
    policy = "version: 1\nsessions: {presets: [jupyterhub]}\n" + LEAST
    made = asking(cpu="500m", memory="1Mi")
    made["metadata"]["labels"] = {"component": "singleuser-server"}
    refused = await Webhook(policy, kinds=kinds).ask(a_review("pods", object=made, name="pod"))
    assert [each.partition(",")[0] for each in refused.message.split("; ")[:-1]] == [
        "below minimum: defaults.user.minPerPod",
        "below minimum: defaults.user.minPerSession",
    ]
