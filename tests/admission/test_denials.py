"""Which denials are told to the controller above, and to which one: as far up as attribution has read."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.admission.asking import Json, Webhook, a_review, pod, stamped
from tests.fakes import reference
from webhook.ports import Denial
from webhook.quota.objects import OwnerReference

POLICY = "version: 1\ndefaults: {user: {hard: {cpu: 1500m}}}\n"
FOR_ALL = "version: 1\ncluster: {hard: {cpu: 1}}\n"
RS_CONTROLLER = "system:serviceaccount:kube-system:replicaset-controller"
STS_CONTROLLER = "system:serviceaccount:kube-system:statefulset-controller"
JOB_CONTROLLER = "system:serviceaccount:kube-system:job-controller"
WORKFLOWS = "system:serviceaccount:argo:argo"


class Telling(Webhook):
    """A webhook that notes what is to be told."""

    def __init__(self, policy: str = POLICY) -> None:
        super().__init__(policy)
        self.told: list[Denial] = []
        self.handler = replace(self.handler, on_denied=self.told.append)

    async def create(self, document: Json, user: str, *, resource: str = "pods", **request: Any) -> bool:
        return (await self.ask(a_review(resource, user=user, object=document, **request))).allowed


def below(above: OwnerReference, cpu: str = "2", *, name: str = "pod") -> Json:
    """A pod that is made for *above*."""
    written = {
        "apiVersion": above.api_version,
        "kind": above.kind,
        "name": above.name,
        "uid": above.uid,
        "controller": True,
    }
    return pod(name, cpu, ownerReferences=[written])


def of_deployment(webhook: Webhook, *, owner: str | None = "alice") -> OwnerReference:
    """Return the reference to a ReplicaSet of the Deployment `web`, which is not read where the former has an owner."""
    web = reference("Deployment", "web", uid="uid-of-the-deployment")
    return webhook.owners.put("ReplicaSet", "web-1", owner=owner, controller=web)


async def test_a_pod_of_a_deployment_is_told_to_the_deployment_without_a_further_read() -> None:
    webhook = Telling()
    answered = await webhook.ask(a_review(user=RS_CONTROLLER, object=below(of_deployment(webhook))))

    [denial] = webhook.told
    assert (denial.namespace, denial.above.kind, denial.above.name) == ("red", "Deployment", "web")
    assert (denial.above.api_version, denial.above.uid) == ("apps/v1", "uid-of-the-deployment")
    assert (denial.reason, denial.message, denial.owner) == ("NeverFits", answered.message, "alice")
    assert "Deployment web" not in webhook.owners.asked


async def test_a_job_of_a_cron_job_is_told_to_the_cron_job() -> None:
    webhook = Telling()
    nightly = reference("CronJob", "nightly", uid="uid-of-nightly")
    job = webhook.owners.put("Job", "nightly-1", owner="alice", controller=nightly)

    assert not await webhook.create(below(job), JOB_CONTROLLER)

    assert [each.above for each in webhook.told] == [nightly]


async def test_what_is_read_up_to_its_end_has_the_last_as_its_top() -> None:
    """Nobody owns the ReplicaSet, so that the Deployment is read, and what is above it is known, too."""
    webhook = Telling(FOR_ALL)
    notebook = OwnerReference("kubeflow.org/v1", "Notebook", "mine", "uid-of-mine", controller=True)
    web = webhook.owners.put("Deployment", "web", controller=notebook)
    replica_set = webhook.owners.put("ReplicaSet", "web-1", controller=web)
    alone = webhook.owners.put("ReplicaSet", "alone")

    assert not await webhook.create(below(replica_set), RS_CONTROLLER)
    assert not await webhook.create(below(alone), RS_CONTROLLER)

    assert [each.above for each in webhook.told] == [notebook, alone]


async def test_a_claim_is_told_to_the_stateful_set_whose_name_it_has() -> None:
    webhook = Telling("version: 1\ndefaults: {user: {hard: {storage: 1Gi}}}\n")
    webhook.owners.put_stateful_set("db", "data")
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data-db-0", "namespace": "red", "uid": "uid-of-data"},
        "spec": {"resources": {"requests": {"storage": "2Gi"}}},
    }

    assert not await webhook.create(claim, STS_CONTROLLER, resource="persistentvolumeclaims")

    [denial] = webhook.told
    assert (denial.above.api_version, denial.above.kind) == ("apps/v1", "StatefulSet")
    assert (denial.above.name, denial.above.uid) == ("db", "uid-of-db")


async def test_where_nothing_was_read_it_is_told_to_the_controller_that_the_object_names() -> None:
    webhook = Telling(FOR_ALL)
    workflow = OwnerReference("argoproj.io/v1alpha1", "Workflow", "train", "uid-of-train", controller=True)

    assert not await webhook.create(below(workflow), WORKFLOWS)

    assert [(each.above, each.owner) for each in webhook.told] == [(workflow, WORKFLOWS)]


async def test_whoever_reads_the_answer_and_what_no_controller_made_are_told_nothing() -> None:
    webhook = Telling(FOR_ALL)

    assert not await webhook.create(below(of_deployment(webhook)), "alice")
    assert not await webhook.create(pod(cpu="2"), WORKFLOWS)

    assert webhook.told == []


async def test_dry_runs_updates_and_what_is_allowed_are_told_nothing() -> None:
    webhook = Telling()
    above = of_deployment(webhook)

    assert not await webhook.create(below(above), RS_CONTROLLER, dryRun=True)
    assert await webhook.create(below(above, cpu="1"), RS_CONTROLLER)
    grown = a_review(
        "pods/resize", "UPDATE", WORKFLOWS, object=stamped(below(above)), oldObject=stamped(below(above, "1"))
    )
    assert not (await webhook.validate_only(grown)).allowed

    assert webhook.told == []


async def test_the_reason_is_that_of_the_first_cause_or_that_there_is_none() -> None:
    webhook = Telling()
    above = of_deployment(webhook)
    assert await webhook.create(below(above, cpu="1"), RS_CONTROLLER)

    assert not await webhook.create(below(above, cpu="1", name="second"), RS_CONTROLLER)
    assert not await webhook.create(below(above, cpu="none"), RS_CONTROLLER)

    assert [each.reason for each in webhook.told] == ["QuotaExceeded", "Forbidden"]
    assert webhook.told[1].message.startswith("cannot be charged: ")


async def test_a_long_refusal_is_cut() -> None:
    webhook = Telling()
    answered = await webhook.ask(a_review(user=RS_CONTROLLER, object=below(of_deployment(webhook, owner="a" * 2000))))

    [denial] = webhook.told
    assert denial.message == answered.message[:1024]
    assert len(answered.message) > 2000


async def test_a_reference_that_no_object_can_have_is_not_kept() -> None:
    webhook = Telling(FOR_ALL)
    endless = OwnerReference("argoproj.io/v1alpha1", "Workflow", "x" * 10_000, "uid-of-train", controller=True)

    assert not await webhook.create(below(endless), WORKFLOWS)

    assert webhook.told == []
