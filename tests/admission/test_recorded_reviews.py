"""The response to every review recorded from a real API server: payer, reservation, message."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.admission.asking import REVIEWS, Json, Webhook, recorded, request_of
from webhook.quota.subject import user

CORE = 10**9
ALICES = '["ml","people","staff"]'
ANOTHER = (
    "the request does not carry the userquota.dev annotations of who pays: alice pays (stamped when it was created). "
    "If that has just changed, try again; otherwise the mutating webhook of userquota was not asked, or another one "
    "changes its annotations"
)
NOT_BOUND = "a binding cannot change who pays for a pod: it carries userquota.dev annotations"


@dataclass(frozen=True)
class Answered:
    """The expected result of a review. `cpu` is what is then reserved for alice, in cores."""

    allowed: bool = True
    found_by: str = ""
    cpu: int = 0
    message: str = ""
    patches: bool = False


MADE, STAMPED = "created it", "stamped when it was created"
ANSWERS = {
    "deployment-created-by-alice.mutate": Answered(patches=True),
    "deployment-scaled-by-alice": Answered(),
    "job-of-a-cronjob": Answered(found_by="owner of CronJob cron"),
    "mirror-pod-by-a-node": Answered(),
    "owner-changed-by-alice": Answered(allowed=False, message=ANOTHER),
    "owner-changed-by-alice.mutate": Answered(patches=True),
    "pod-adopted-by-a-replicaset": Answered(allowed=False, message=ANOTHER.replace("alice", "bob")),
    "pod-adopted-by-a-replicaset.mutate": Answered(),
    "pod-bound": Answered(allowed=False, message=NOT_BOUND),
    "pod-bound-at-the-older-address": Answered(allowed=False, message=NOT_BOUND),
    "pod-created-by-alice": Answered(found_by=MADE, cpu=1),
    "pod-created-by-alice.dry-run": Answered(found_by=MADE),
    "pod-created-by-alice.mutate": Answered(patches=True),
    "pod-deleted-by-alice": Answered(),
    "pod-evicted": Answered(),
    "pod-of-a-job": Answered(found_by="owner of Job cron-29923507", cpu=1),
    "pod-of-a-replicaset": Answered(found_by="owner of ReplicaSet web-59464cc7d7", cpu=1),
    "pod-of-a-replicaset.mutate": Answered(patches=True),
    "pod-of-a-statefulset": Answered(found_by="owner of StatefulSet db", cpu=1),
    "pod-orphaned-by-the-garbage-collector": Answered(found_by=STAMPED),
    "pod-resized-by-alice": Answered(found_by=STAMPED, cpu=2),
    "pod-status-by-a-node": Answered(found_by=STAMPED),
    "pod-with-a-forged-owner.mutate": Answered(patches=True),
    "pod-with-a-generated-name": Answered(found_by=MADE, cpu=1),
    "replicaset-of-a-deployment.mutate": Answered(),
}


def put_owners(webhook: Webhook, body: Json) -> None:
    """Put every owner that the object names into the cluster, with the stamp of alice."""
    for each in ((body["request"]["object"] or {}).get("metadata") or {}).get("ownerReferences") or []:
        webhook.owners.put(each["kind"], each["name"], uid=each["uid"], owner="alice", groups=ALICES, namespace="work")


@pytest.mark.parametrize("name", sorted(path.stem for path in REVIEWS.glob("*.json")))
async def test_a_recorded_review_is_answered(name: str) -> None:
    webhook = Webhook("version: 1\ndefaults: {user: {hard: {cpu: 2}}, unattributed: {hard: {pods: 0}}}\n")
    body = recorded(name)
    put_owners(webhook, body)
    call = webhook.mutate if name.endswith(".mutate") else webhook.validate

    response = await call(request_of(body))

    answered = Answered(
        response["allowed"],
        response.get("auditAnnotations", {}).get("found-by", ""),
        int(webhook.held(user("alice"), "requests.cpu")) // CORE,
        response.get("status", {}).get("message", ""),
        "patch" in response,
    )
    assert answered == ANSWERS[name]
    assert response["uid"] == body["request"]["uid"]
