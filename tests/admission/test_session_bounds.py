"""What one session may ask for at most and has to ask for at least, beside the sums: its times and its least size."""

from __future__ import annotations

from typing import Any

import pytest

from tests.admission.asking import Answer, Json, Webhook, a_review, stamped
from webhook.documents.shipped_presets import shipped
from webhook.kinds.counted import counted
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
