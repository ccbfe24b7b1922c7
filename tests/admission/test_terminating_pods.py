"""The charge for a pod under deletion. It is 12:00:00; the grace period is 30 seconds."""

from __future__ import annotations

import pytest

from tests.admission.asking import Json, Webhook, a_review, pod, stamped
from webhook.quota.subject import user

CORE = 10**9
CPU = "requests.cpu"
POLICY = "version: 1\ndefaults: {user: {hard: {cpu: 1}}}\n"


def deletion(at: str) -> Json:
    return {"deletionTimestamp": at, "deletionGracePeriodSeconds": 30}


def resize(to: str, *, deleted_at: str) -> Json:
    old, new = (stamped(pod("pod", cpu, resourceVersion="5", **deletion(deleted_at)), "alice") for cpu in ("1", to))
    return a_review("pods/resize", "UPDATE", "alice", object=new, oldObject=old, name="pod")


async def test_a_new_pod_is_charged_in_full_though_it_has_deletion_fields() -> None:
    """The API server removes both fields from a new object (`BeforeCreate`); nothing depends on it."""
    webhook = Webhook(POLICY)

    await webhook.ask(a_review("pods", "CREATE", "alice", object=pod("pod", "1", **deletion("2026-11-01T11:00:00Z"))))

    assert webhook.held(user("alice"), CPU) == CORE


@pytest.mark.parametrize(
    ("policy", "deleted_at", "is_allowed"),
    [
        (POLICY, "2026-11-01T11:59:30Z", False),
        (POLICY, "2026-11-01T11:59:29Z", True),
        (f"{POLICY}terminating: hold\n", "2026-11-01T11:59:29Z", False),
    ],
    ids=["at that second", "released", "held by the policy"],
)
async def test_a_resize_of_a_pod_that_is_released_grows_nothing(
    policy: str, deleted_at: str, *, is_allowed: bool
) -> None:
    webhook = Webhook(policy)
    webhook.shows("pod", {"pods": CORE, CPU: CORE})

    assert (await webhook.validate_only(resize("2", deleted_at=deleted_at))).allowed is is_allowed
