"""Claims through the whole request path: created, grown, shrunk, given a class, and resized by the controllers."""

from __future__ import annotations

from typing import Any

import pytest

from tests.admission.asking import Answer, Json, Webhook, a_review, stamped
from webhook.quota.objects import ObjectKey
from webhook.quota.quantity import NANOS
from webhook.quota.subject import Payer, user
from webhook.quota.usage import Row

GI = NANOS << 30
GOLD = "gold.storageclass.storage.k8s.io/requests.storage"
POLICY = f"version: 1\ndefaults: {{user: {{hard: {{storage: 10Gi, {GOLD}: 5Gi}}, perClaim: {{storage: 8Gi}}}}}}\n"
BINDER = "system:serviceaccount:kube-system:persistent-volume-binder"
RESIZER = "system:serviceaccount:storage:csi-resizer"


def a_claim(storage: str, *, name: str = "data", class_name: str | None = None, **status: Any) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": "red", "uid": f"uid-of-{name}", "resourceVersion": "5"},
        "spec": {"storageClassName": class_name, "resources": {"requests": {"storage": storage}}},
        "status": status,
    }


class Storage(Webhook):
    """A webhook that can be asked about claims."""

    async def create(self, claim: Json) -> Answer:
        return await self.ask(a_review("persistentvolumeclaims", object=claim))

    async def change(self, old: Json, new: Json, *, sub: str = "", by: str = "alice") -> Answer:
        resource = f"persistentvolumeclaims{sub}"
        return await self.validate_only(
            a_review(resource, "UPDATE", by, object=stamped(new), oldObject=stamped(old), name=new["metadata"]["name"])
        )

    def shows_claim(self, name: str, storage: int) -> None:
        """Deliver a claim of alice from the watch."""
        cost = (("persistentvolumeclaims", NANOS), ("requests.storage", storage))
        self.index.observe(
            ObjectKey("persistentvolumeclaims", "red", name), Row(f"uid-of-{name}", 5, Payer("alice"), cost)
        )

    @property
    def storage(self) -> object:
        return self.held(user("alice"), "requests.storage")


async def test_a_claim_is_stamped_charged_and_refused() -> None:
    webhook = Storage(POLICY)

    first = await webhook.create(a_claim("6Gi"))
    second = await webhook.create(a_claim("6Gi", name="more"))

    assert first.stamp == {"userquota.dev/owner": "alice", "userquota.dev/groups": "[]"}
    assert second.message == (
        "exceeded quota: defaults.user, requested: requests.storage=6Gi, used: requests.storage=0, "
        "limited: requests.storage=10Gi, reserved: requests.storage=6Gi, free: requests.storage=4Gi for user/alice; "
        "would fit: requests.storage=4Gi; "
        "requests.storage=6Gi reserved for requests under way, free again in about 40 s if they fail; "
        "charged to alice (created it)"
    )


async def test_one_claim_may_not_be_larger_than_the_cap() -> None:
    answer = await Storage(POLICY).create(a_claim("9Gi"))

    assert answer.message.startswith(
        "larger than quota: defaults.user.perClaim, requested: requests.storage=9Gi, limited: requests.storage=8Gi "
        "for one claim; would fit: requests.storage=8Gi"
    )


async def test_a_claim_grows_up_to_the_limit() -> None:
    webhook = Storage(POLICY)
    webhook.shows_claim("other", 4 * GI)
    webhook.shows_claim("data", 2 * GI)

    assert not (await webhook.change(a_claim("2Gi"), a_claim("7Gi"))).allowed
    assert (await webhook.change(a_claim("2Gi"), a_claim("6Gi"))).allowed
    assert webhook.storage == 10 * GI


async def test_an_expansion_that_is_called_off_credits_nothing_while_it_is_allocated() -> None:
    webhook = Storage(POLICY)
    webhook.shows_claim("data", 6 * GI)
    grown = a_claim("6Gi", allocatedResources={"storage": "6Gi"})
    called_off = a_claim("2Gi", allocatedResources={"storage": "6Gi"})

    assert (await webhook.change(grown, called_off)).allowed
    assert webhook.storage == 6 * GI
    assert not (await webhook.create(a_claim("5Gi", name="more"))).allowed


async def test_a_status_that_reports_more_than_the_limit_is_recorded_and_never_denied() -> None:
    webhook = Storage(POLICY)
    webhook.shows_claim("data", 2 * GI)

    answer = await webhook.change(
        a_claim("2Gi"), a_claim("2Gi", allocatedResources={"storage": "12Gi"}), sub="/status", by=RESIZER
    )

    assert answer.allowed
    assert webhook.storage == 12 * GI
    assert "over quota defaults.user: requests.storage" in answer.response["auditAnnotations"]["tolerated"]


@pytest.mark.parametrize(
    ("by", "allowed"), [(BINDER, True), ("system:kube-controller-manager", True), ("alice", False)]
)
async def test_a_default_class_that_comes_later_moves_the_charge_and_never_blocks_its_controller(
    by: str, *, allowed: bool
) -> None:
    webhook = Storage(POLICY)
    webhook.shows_claim("data", 7 * GI)

    answer = await webhook.change(a_claim("7Gi"), a_claim("7Gi", class_name="gold"), by=by)

    assert answer.allowed is allowed
    assert webhook.held(user("alice"), GOLD) == (7 * GI if allowed else 0)
    assert webhook.storage == 7 * GI


async def test_the_controller_cannot_create_beyond_a_limit() -> None:
    webhook = Storage(POLICY.replace("user:", "serviceAccount:"))

    answer = await webhook.ask(a_review("persistentvolumeclaims", user=BINDER, object=a_claim("9Gi")))

    assert not answer.allowed


async def test_a_stamp_cannot_be_changed_through_the_status() -> None:
    webhook = Storage(POLICY)
    forged = a_claim("2Gi")
    forged["metadata"]["annotations"] = {"userquota.dev/owner": "bob", "userquota.dev/groups": "[]"}

    answer = await webhook.validate_only(
        a_review("persistentvolumeclaims/status", "UPDATE", RESIZER, object=forged, oldObject=stamped(a_claim("2Gi")))
    )

    assert not answer.allowed
