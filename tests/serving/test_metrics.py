"""What a scrape shows, and where it is made."""

from __future__ import annotations

import threading

from tests.serving.stage import Stage
from webhook.admission import review
from webhook.admission.review import AdmissionRequest, AdmissionResponse
from webhook.ports import UnavailableError
from webhook.quota.commitments import Pool
from webhook.quota.limits import Limit
from webhook.quota.policy import Mode
from webhook.quota.quantity import NANOS
from webhook.quota.subject import Subject, user
from webhook.serving.metrics import Metrics
from webhook.serving.quota_series import quota_series
from webhook.view.fullest import Filled, FullestQuotas


def test_exceeded_limits_are_counted_by_what_the_policy_says_and_by_nobodys_name() -> None:
    metrics = Metrics(dict)
    own = Limit(user("alice"), "requests.cpu", 1, "users.alice")
    nodes = Limit(Pool("h100", "a").subject, "gpu", 1, "nodeClasses.h100", mode=Mode.WARN)
    cap = Limit(user("bob"), "requests.cpu", 1, "defaults.user.perPod", cap="perPod")

    metrics.exceeded([own, nodes])
    metrics.exceeded([own, cap])

    text = metrics.render().decode()
    told = [line.removeprefix("userquota_exceeded_limits_total") for line in text.splitlines() if "exceeded" in line]
    assert sorted(line for line in told if line.startswith("{")) == [
        '{cap="",mode="enforce",resource="requests.cpu",scope="",subject_kind="user"} 2.0',
        '{cap="",mode="warn",resource="gpu",scope="NodeClass In (h100), Zone In (a)",subject_kind="cluster"} 1.0',
        '{cap="perPod",mode="enforce",resource="requests.cpu",scope="",subject_kind="user"} 1.0',
    ]
    assert "alice" not in text


async def test_answers_are_counted_by_path_and_verdict_and_nothing_else(stage: Stage) -> None:
    async def not_yet(_: AdmissionRequest, __: float) -> AdmissionResponse:
        raise UnavailableError("not-synced", "for alice")

    await stage.post()
    await stage.post(b"")
    stage.answer = not_yet
    await stage.post()
    reply = await stage.get("/metrics")

    assert reply.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    for line in (
        'userquota_reviews_total{path="/validate",verdict="allowed"} 1.0',
        'userquota_reviews_total{path="/validate",verdict="unreadable"} 1.0',
        'userquota_reviews_total{path="/validate",verdict="not-ready"} 1.0',
        'userquota_errors_total{reason="not-synced"} 1.0',
        'userquota_errors_total{reason="review"} 1.0',
        'userquota_review_duration_seconds_count{path="/validate"} 3.0',
        "userquota_pods_known 7.0",
    ):
        assert line in reply.body.decode()
    assert b"alice" not in reply.body


async def test_a_refusal_for_a_trouble_of_ours_is_counted_as_one(stage: Stage) -> None:
    """Edits of the policy get one: the API server takes an error of the call for an allow."""

    async def wait(request: AdmissionRequest, _: float) -> AdmissionResponse:
        return review.not_now(request.uid, "the pods are not all known yet")

    stage.answer = wait
    await stage.post()
    text = (await stage.get("/metrics")).body.decode()

    assert 'userquota_reviews_total{path="/validate",verdict="not-ready"} 1.0' in text
    assert 'userquota_errors_total{reason="unjudged"} 1.0' in text
    assert 'verdict="denied"' not in text


async def test_gauges_are_read_where_what_they_read_is_changed(stage: Stage) -> None:
    """In another thread, 80 of 142 scrapes failed beside 8 000 reservations: a dictionary changed while it was read."""
    threads: list[threading.Thread] = []

    def gauges() -> dict[str, float]:
        threads.append(threading.current_thread())
        return {"pods_known": len(threads)}

    stage.gauges = gauges
    stage.metrics.add_gauges(lambda: {"more": gauges()["pods_known"]})

    reply = await stage.get("/metrics")

    assert b"userquota_pods_known 1.0\n" in reply.body
    assert b"userquota_more 2.0\n" in reply.body
    assert threads == [threading.current_thread()] * 2


async def test_checks_of_readyz_are_shown_as_kubernetes_shows_its_own(stage: Stage) -> None:
    stage.metrics.add_checks(stage.health.states)
    stage.failures["policy"] = "none is loaded"
    stage.warnings["ledger"] = "it cannot be written"
    stage.health.is_draining = True

    text = (await stage.get("/metrics")).body.decode()

    assert [line for line in text.splitlines() if line.startswith("userquota_healthcheck{")] == [
        'userquota_healthcheck{name="draining",type="readyz"} 0.0',
        'userquota_healthcheck{name="pods",type="readyz"} 1.0',
        'userquota_healthcheck{name="policy",type="readyz"} 0.0',
        'userquota_healthcheck{name="ledger",type="warning"} 0.0',
    ]


async def test_a_counter_has_one_series_which_is_0_before_the_first_event(stage: Stage) -> None:
    text = (await stage.get("/metrics")).body.decode()

    assert "_created" not in text
    assert 'userquota_errors_total{reason="internal"} 0.0' in text


async def test_quotas_are_shown_until_there_are_others(stage: Stage) -> None:
    quotas = FullestQuotas((Filled(Subject('user/al"ice'), "", "requests.cpu", NANOS // 2, 4 * NANOS),), 7)
    shown = [
        'userquota_quota{resource="requests.cpu",scope="",subject="al\\"ice",subject_kind="user",type="hard"} 4.0',
        'userquota_quota{resource="requests.cpu",scope="",subject="al\\"ice",subject_kind="user",type="used"} 0.5',
        "userquota_quota_subjects_omitted 7.0",
    ]

    stage.metrics.show_quotas(quota_series(quotas))
    text = (await stage.get("/metrics")).body.decode()
    stage.metrics.show_quotas(b"")

    assert [line for line in text.splitlines() if line.startswith("userquota_quota")] == shown
    assert b"userquota_quota" not in (await stage.get("/metrics")).body
