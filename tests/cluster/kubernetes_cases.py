"""
What the end-to-end tests of Kubernetes ask of controllers, told as cases of our own. Each leaves what it made.

An act checks what Kubernetes promises. That the same happens with userquota is for `test_kubernetes_cases` to check.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

from tests.cluster.made_nodes import NODES
from tests.cluster.scenes import CASE, Json, Scene, template

Act = Callable[[Scene], Awaitable[None]]


@dataclass(frozen=True)
class Case:
    """A case; `pods` is how many there ever are in it."""

    name: str
    file: str
    """Of `test/e2e/apps` in Kubernetes, where the behaviour is tested as well."""
    told: str
    pods: int
    act: Act


CASES: dict[str, Case] = {}


def case(file: str, told: str, *, pods: int) -> Callable[[Act], Act]:
    """Return what enters an act among the cases, under its name."""

    def enter(act: Act) -> Act:
        name = getattr(act, "__name__", "").replace("_", "-")
        CASES[name] = Case(name, file, told, pods, act)
        return act

    return enter


def table(cases: Iterable[Case]) -> list[str]:
    """Return the table of the documents, which may say `the same` as long as the tests pass."""
    rows = [f"| `{each.name}` | {each.told} | {each.pods} | the same | `{each.file}` |" for each in cases]
    return [
        "| case | what is done, and follows | pods | with userquota | `test/e2e/apps` |",
        "|---|---|---|---|---|",
        *rows,
    ]


# Deployments.


@case("deployment.go", "a Deployment of 3 is made: all become available", pods=3)
async def deployment_available(s: Scene) -> None:
    await deploy(s, 3)
    assert s.condition("Deployment", "Progressing") == ("True", "NewReplicaSetAvailable")


@case("deployment.go", "scaled through its scale, up from 1 to 4 and down to 2", pods=4)
async def deployment_scale(s: Scene) -> None:
    await deploy(s, 1)
    for replicas in (4, 2):
        await s.scale("Deployment", replicas)
        await s.until(lambda: is_rolled_out(s) and sizes(s) == {"1": replicas})  # noqa: B023


@case("deployment.go", "a rolling update of 4 with `maxSurge: 1`, `maxUnavailable: 1`: both bounds hold", pods=8)
async def rolling_update(s: Scene) -> None:
    await deploy(s, 4, strategy=rolling(surge=1, unavailable=1))
    s.most_wanted, s.fewest_ready = 0, 4
    await update(s, image="two")
    await s.until(lambda: is_rolled_out(s))
    assert s.most_wanted == 5
    assert s.fewest_ready >= 3
    s.note(revisions=revisions(s))


@case("deployment.go", "the same with `maxSurge: 2`, `maxUnavailable: 0`: always 3 ready, never more than 5", pods=6)
async def rolling_update_surge(s: Scene) -> None:
    await deploy(s, 3, strategy=rolling(surge=2, unavailable=0))
    s.most_wanted, s.fewest_ready = 0, 3
    await update(s, image="two")
    await s.until(lambda: is_rolled_out(s))
    assert s.most_wanted == 5
    assert s.fewest_ready == 3


@case("deployment.go", "`Recreate`: no new pod is made while an old one runs", pods=6)
async def recreate(s: Scene) -> None:
    await deploy(s, 3, strategy={"type": "Recreate"})
    old = set(s.pods)
    s.most = 0
    await update(s, image="two")
    await s.until(lambda: is_rolled_out(s))
    assert s.most == 3
    assert [each.running & old for each in s.births if each.uid not in old] == [frozenset()] * 3


@case("deployment.go", "an update that hangs is replaced by another before it is done", pods=7)
async def rollover(s: Scene) -> None:
    await deploy(s, 3, strategy=rolling(surge=1, unavailable=0))
    await update(s, image="two", does="hang")
    await s.until(lambda: len(s.live()) == 4 and sizes(s) == {"1": 3, "2": 1})
    await update(s, image="three")
    await s.until(lambda: is_rolled_out(s))
    assert sizes(s) == {"1": 0, "2": 0, "3": 3}


@case("deployment.go", "`kubectl rollout undo` returns to the first template and its ReplicaSet", pods=6)
async def rollback(s: Scene) -> None:
    await deploy(s, 2, strategy=rolling(surge=1, unavailable=0))
    [first] = s.names("ReplicaSet")
    await update(s, image="two")
    await s.until(lambda: is_rolled_out(s))
    assert "rolled back" in await s.kubectl("rollout", "undo", f"deployment/{s.case}")
    await s.until(lambda: is_rolled_out(s) and revisions(s).get(first) == "3")
    assert sizes(s) == {"2": 0, "3": 2}


@case("deployment.go", "while it is paused a new template makes nothing; resumed, it is rolled out", pods=4)
async def paused(s: Scene) -> None:
    await deploy(s, 2, strategy=rolling(surge=1, unavailable=0))
    await s.patch("Deployment", {"spec": {"paused": True}})
    await s.until(lambda: s.condition("Deployment", "Progressing") == ("Unknown", "DeploymentPaused"))
    await update(s, image="two")
    await s.until(lambda: s.status("Deployment"))
    s.note(status=s.status("Deployment").get("updatedReplicas", 0), sizes=sizes(s))
    assert sizes(s) == {"1": 2}
    await s.patch("Deployment", {"spec": {"paused": False}})
    await s.until(lambda: is_rolled_out(s))


@case("deployment.go", "scaled from 5 to 10 while a rollout hangs: both ReplicaSets grow by their share", pods=13)
async def proportional(s: Scene) -> None:
    await deploy(s, 5, strategy=rolling(surge=2, unavailable=1))
    await update(s, image="two", does="hang")
    await s.until(lambda: sizes(s) == {"1": 4, "2": 3} and len(s.live()) == 7)
    await s.scale("Deployment", 10)
    await s.until(lambda: sum(sizes(s).values()) == 12 and len(s.live()) == 12)
    s.note(sizes=sizes(s))
    assert sizes(s)["1"] > 4
    assert sizes(s)["2"] > 3


@case("deployment.go", "with `revisionHistoryLimit: 1` older ReplicaSets are deleted", pods=4)
async def history_limit(s: Scene) -> None:
    await deploy(s, 1, revisionHistoryLimit=1)
    for image in ("two", "three", "four"):
        await update(s, image=image)
        await s.until(lambda: is_rolled_out(s))
    await s.until(lambda: sorted(revisions(s).values()) == ["3", "4"])


@case(
    "deployment.go", "deleted with `--cascade=orphan` and made again: its ReplicaSet is adopted, no pod is new", pods=2
)
async def deployment_orphans(s: Scene) -> None:
    await deploy(s, 2)
    await s.delete("Deployment", policy="Orphan")
    await s.until(lambda: s.get("Deployment") is None)
    await s.until(lambda: [owners(each) for each in s.all("ReplicaSet")] == [[]])
    assert len(s.ready()) == 2
    await deploy(s, 2)
    await s.until(lambda: [owners(each) for each in s.all("ReplicaSet")] == [[("Deployment", s.case)]])


@case("deployment.go", "deleted in the foreground: its pods, its ReplicaSets and it are gone", pods=2)
async def deployment_gone(s: Scene) -> None:
    await deploy(s, 2)
    await s.delete("Deployment", policy="Foreground")
    await s.until(lambda: not s.objects)


@case("deployment.go", "with `minReadySeconds: 1` a new pod counts when it has been ready so long", pods=4)
async def min_ready(s: Scene) -> None:
    await deploy(s, 2, minReadySeconds=1, strategy=rolling(surge=1, unavailable=0))
    s.fewest_ready = 2
    await update(s, image="two")
    await s.until(lambda: is_rolled_out(s))
    assert s.fewest_ready == 2


@case("deployment.go", "pods that do not start within `progressDeadlineSeconds: 2`", pods=2)
async def progress_deadline(s: Scene) -> None:
    await s.create("Deployment", {"replicas": 2, "progressDeadlineSeconds": 2, **selected(s, does="hang")})
    await s.until(lambda: s.condition("Deployment", "Progressing") == ("False", "ProgressDeadlineExceeded"))


# ReplicaSets and ReplicationControllers.


@case("replica_set.go", "a pod with its labels is adopted; with another label it is released and replaced", pods=3)
async def replica_set_adopts(s: Scene) -> None:
    await loose(s)
    await s.create("ReplicaSet", {"replicas": 2, **selected(s)})
    await s.until(lambda: s.status("ReplicaSet").get("readyReplicas") == 2)
    await s.until(lambda: [owners(each) for each in s.ready()] == [[("ReplicaSet", s.case)]] * 2)
    await s.patch("Pod", {"metadata": {"labels": {"app": "another"}}}, name=f"{s.case}-loose")
    await s.until(lambda: len(s.ready()) == 3 and owners(s.get("Pod", f"{s.case}-loose")) == [])
    await s.until(lambda: s.status("ReplicaSet").get("readyReplicas") == 2)


@case("replica_set.go", "a pod that is deleted is replaced, and one that its node throws out", pods=4)
async def replica_set_replaces(s: Scene) -> None:
    await s.create("ReplicaSet", {"replicas": 2, **selected(s)})
    await s.until(lambda: s.status("ReplicaSet").get("readyReplicas") == 2 == len(s.ready()))
    await s.delete("Pod", name=s.names("Pod")[0])
    await s.until(lambda: len(s.pods) == 3 and len(s.ready()) == 2)
    await s.nodes.fail(s.ready()[0])
    await s.until(lambda: len(s.pods) == 4 and s.status("ReplicaSet").get("readyReplicas") == 2)


@case("replica_set.go", "scaled through its scale, up from 1 to 3 and down to 2", pods=3)
async def replica_set_scale(s: Scene) -> None:
    await s.create("ReplicaSet", {"replicas": 1, **selected(s)})
    for replicas in (3, 2):
        await s.scale("ReplicaSet", replicas)
        await s.until(lambda: s.status("ReplicaSet").get("readyReplicas") == replicas == len(s.ready()))  # noqa: B023


@case("rc.go", "a ReplicationController adopts and releases as well, and is scaled", pods=4)
async def replication_controller(s: Scene) -> None:
    pod = await loose(s)
    await s.create("ReplicationController", {"replicas": 1, "selector": pod["metadata"]["labels"], "template": pod})
    await s.until(lambda: s.status("ReplicationController").get("readyReplicas") == 1)
    await s.until(lambda: [owners(each) for each in s.ready()] == [[("ReplicationController", s.case)]])
    await s.scale("ReplicationController", 3)
    await s.until(lambda: s.status("ReplicationController").get("readyReplicas") == 3)
    await s.patch("Pod", {"metadata": {"labels": {"app": "another"}}}, name=f"{s.case}-loose")
    await s.until(lambda: len(s.ready()) == 4 and owners(s.get("Pod", f"{s.case}-loose")) == [])
    await s.until(lambda: s.status("ReplicationController").get("readyReplicas") == 3)


# StatefulSets.


@case("statefulset.go", "3 pods are made one after another, each when the one before it is ready", pods=3)
async def stateful_ordered(s: Scene) -> None:
    await stateful(s, 3)
    assert s.order == [f"made {s.case}-0", f"made {s.case}-1", f"made {s.case}-2"]
    assert [len(each.ready) for each in s.births] == [0, 1, 2]


@case("statefulset.go", "an update with `partition: 2` changes pod 2 alone, then the others from the last on", pods=6)
async def stateful_partition(s: Scene) -> None:
    await stateful(s, 3, updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"partition": 2}})
    await update(s, kind="StatefulSet", image="two")
    updated = {"readyReplicas": 3, "currentReplicas": 2, "updatedReplicas": 1}
    await s.until(lambda: updated.items() <= s.status("StatefulSet").items() and len(s.ready()) == 3)
    await s.until(lambda: [image_of(each) for each in s.all("Pod")] == ["example/one", "example/one", "example/two"])
    s.note(status=s.status("StatefulSet"))
    partition: Json = {"spec": {"updateStrategy": {"rollingUpdate": {"partition": 0}}}}
    await s.patch("StatefulSet", partition)
    await s.until(lambda: is_stateful(s, 3))
    assert [each for each in s.order if each.startswith("gone")] == [f"gone {s.case}-{each}" for each in (2, 1, 0)]


@case("statefulset.go", "`OnDelete`: a new template is taken by a pod when it is deleted, by no other", pods=3)
async def stateful_on_delete(s: Scene) -> None:
    await stateful(s, 2, updateStrategy={"type": "OnDelete"})
    await update(s, kind="StatefulSet", image="two")
    await s.until(lambda: s.status("StatefulSet"))
    await s.delete("Pod", name=f"{s.case}-1")
    await s.until(lambda: s.status("StatefulSet").get("updatedReplicas") == 1 and len(s.ready()) == 2)


@case("statefulset.go", "scaled from 3 to 1: pod 2 goes, then pod 1; and up again to 2", pods=4)
async def stateful_scale_down(s: Scene) -> None:
    await stateful(s, 3)
    await s.scale("StatefulSet", 1)
    await s.until(lambda: is_stateful(s, 1))
    assert s.order[3:] == [f"gone {s.case}-2", f"gone {s.case}-1"]
    await s.scale("StatefulSet", 2)
    await s.until(lambda: is_stateful(s, 2))


@case("statefulset.go", "`Parallel`: all 3 are made though none becomes ready; scaled to 1, both others go", pods=3)
async def stateful_parallel(s: Scene) -> None:
    spec = {"podManagementPolicy": "Parallel", "replicas": 3, "serviceName": s.case}
    await s.create("StatefulSet", {**spec, **selected(s, does="hang")})
    made = {"replicas": 3, "currentReplicas": 3, "updatedReplicas": 3}
    await s.until(lambda: len(s.live()) == 3 and made.items() <= s.status("StatefulSet").items())
    s.note(status=s.status("StatefulSet"))
    await s.scale("StatefulSet", 1)
    await s.until(lambda: s.names("Pod") == [f"{s.case}-0"] and s.status("StatefulSet").get("replicas") == 1)


@case("statefulset.go", "a pod that is deleted comes back with the same name, and so does one that failed", pods=4)
async def stateful_comes_back(s: Scene) -> None:
    await stateful(s, 2)
    await s.delete("Pod", name=f"{s.case}-0")
    await s.until(lambda: len(s.pods) == 3 and is_stateful(s, 2))
    await s.nodes.fail(s.get("Pod", f"{s.case}-1") or {})
    await s.until(lambda: len(s.pods) == 4 and is_stateful(s, 2))
    assert s.names("Pod") == [f"{s.case}-0", f"{s.case}-1"]


@case("statefulset.go", "claims of its templates stay when it is scaled down and deleted, and are used again", pods=4)
async def stateful_claims(s: Scene) -> None:
    claims = [f"data-{s.case}-0", f"data-{s.case}-1"]
    await stateful(s, 2, volumeClaimTemplates=[CLAIM])
    await s.scale("StatefulSet", 1)
    await s.until(lambda: is_stateful(s, 1) and s.names("PersistentVolumeClaim") == claims)
    uids = [each["metadata"]["uid"] for each in s.all("PersistentVolumeClaim")]
    await s.delete("StatefulSet")
    await s.until(lambda: s.get("StatefulSet") is None and not s.live())
    await s.until(lambda: not s.names("Pod") and len(s.gone) == 2)
    await stateful(s, 2, volumeClaimTemplates=[CLAIM])
    assert [each["metadata"]["uid"] for each in s.all("PersistentVolumeClaim")] == uids


@case("statefulset.go", "with `whenScaled` and `whenDeleted: Delete` claims go with their pods", pods=3)
async def stateful_claims_go(s: Scene) -> None:
    policy = {"whenScaled": "Delete", "whenDeleted": "Delete"}
    await stateful(s, 3, volumeClaimTemplates=[CLAIM], persistentVolumeClaimRetentionPolicy=policy)
    await s.scale("StatefulSet", 1)
    await s.until(lambda: is_stateful(s, 1) and s.names("PersistentVolumeClaim") == [f"data-{s.case}-0"])
    await s.delete("StatefulSet")
    await s.until(lambda: not s.objects)


@case("statefulset.go", "deleted with `--cascade=orphan` and made again: it adopts its pods", pods=2)
async def stateful_orphans(s: Scene) -> None:
    await stateful(s, 2)
    await s.delete("StatefulSet", policy="Orphan")
    await s.until(lambda: s.get("StatefulSet") is None)
    await s.until(lambda: [owners(each) for each in s.all("Pod")] == [[], []])
    await stateful(s, 2)
    await s.until(lambda: [owners(each) for each in s.all("Pod")] == [[("StatefulSet", s.case)]] * 2)


@case("statefulset.go", "an update and back: the revision is the first one again", pods=6)
async def stateful_rollback(s: Scene) -> None:
    await stateful(s, 2)
    first = s.status("StatefulSet")["currentRevision"]
    for image in ("two", "one"):
        await update(s, kind="StatefulSet", image=image)
        await s.until(lambda: is_stateful(s, 2))
    assert s.status("StatefulSet")["currentRevision"] == first


@case("statefulset.go", "while pod 0 is not ready, scaling up waits", pods=3)
async def stateful_halts(s: Scene) -> None:
    await stateful(s, 2)
    await s.nodes.say_ready(s.get("Pod", f"{s.case}-0") or {}, is_ready=False)
    await s.until(lambda: s.status("StatefulSet").get("readyReplicas") == 1)
    await s.scale("StatefulSet", 3)
    await s.until(lambda: s.status("StatefulSet"))
    s.note(pods=s.names("Pod"))
    assert len(s.pods) == 2
    await s.nodes.say_ready(s.get("Pod", f"{s.case}-0") or {}, is_ready=True)
    await s.until(lambda: is_stateful(s, 3))
    assert len(s.births[-1].ready) == 2


@case("statefulset.go", "`ordinals.start: 3`: pods 3 and 4", pods=2)
async def stateful_ordinals(s: Scene) -> None:
    await stateful(s, 2, ordinals={"start": 3})
    assert s.names("Pod") == [f"{s.case}-3", f"{s.case}-4"]


# Jobs.


@case("job.go", "4 completions, 2 at a time", pods=4)
async def job_completes(s: Scene) -> None:
    await job(s, does="succeed", parallelism=2, completions=4)
    await s.until(lambda: s.condition("Job", "Complete")[0] == "True")
    assert s.status("Job")["succeeded"] == 4
    assert s.most <= 2


@case("job.go", "`Indexed`: one pod for each index", pods=3)
async def job_indexed(s: Scene) -> None:
    await job(s, does="succeed", parallelism=3, completions=3, completionMode="Indexed")
    await s.until(lambda: s.condition("Job", "Complete")[0] == "True")
    assert s.status("Job")["completedIndexes"] == "0-2"


@case("job.go", "`Indexed` with `backoffLimitPerIndex: 0`: each index fails by itself", pods=2)
async def job_failed_indexes(s: Scene) -> None:
    await job(s, does="fail 1", parallelism=2, completions=2, completionMode="Indexed", backoffLimitPerIndex=0)
    await s.until(lambda: s.condition("Job", "Failed")[0] == "True")
    assert s.status("Job")["failedIndexes"] == "0,1"


@case("job.go", "`backoffLimit: 1` and pods that fail: the Job fails after the second", pods=2)
async def job_backoff(s: Scene) -> None:
    await job(s, does="fail 1", backoffLimit=1)
    await s.until(lambda: s.condition("Job", "Failed") == ("True", "BackoffLimitExceeded"))
    assert s.status("Job")["failed"] == 2


@case("job.go", "`podFailurePolicy` with `FailJob` for exit code 42: no second pod", pods=1)
async def job_failure_policy(s: Scene) -> None:
    rule = {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}}
    await job(s, does="fail 42", podFailurePolicy={"rules": [rule]})
    await s.until(lambda: s.condition("Job", "Failed") == ("True", "PodFailurePolicy"))


@case("job.go", "made suspended, it makes no pod; resumed, it completes", pods=2)
async def job_resumed(s: Scene) -> None:
    await job(s, does="succeed", parallelism=2, completions=2, suspend=True)
    await s.until(lambda: s.condition("Job", "Suspended") == ("True", "JobSuspended"))
    s.note(pods=len(s.pods))
    assert not s.pods
    await s.patch("Job", {"spec": {"suspend": False}})
    await s.until(lambda: s.condition("Job", "Complete")[0] == "True")


@case("job.go", "suspended while it runs, its pods go; resumed, others come", pods=4)
async def job_suspended(s: Scene) -> None:
    await job(s, parallelism=2, completions=2)
    await s.until(lambda: s.status("Job").get("ready") == 2)
    await s.patch("Job", {"spec": {"suspend": True}})
    await s.until(lambda: s.condition("Job", "Suspended")[0] == "True" and len(s.gone) == 2)
    await s.until(lambda: not s.status("Job").get("active") and not s.status("Job").get("terminating"))
    s.note(pods=len(s.all("Pod")))
    await s.patch("Job", {"spec": {"suspend": False}})
    await s.until(lambda: s.status("Job").get("ready") == 2)


@case("job.go", "`activeDeadlineSeconds: 2`: its pods go and it fails", pods=2)
async def job_deadline(s: Scene) -> None:
    await job(s, parallelism=2, completions=2, activeDeadlineSeconds=2)
    await s.until(lambda: s.condition("Job", "Failed") == ("True", "DeadlineExceeded"))
    await s.until(lambda: len(s.gone) == 2)


@case("job.go", "a pod without its reference is adopted again; without its labels it is released and replaced", pods=3)
async def job_adopts(s: Scene) -> None:
    await job(s, parallelism=2, completions=2)
    await s.until(lambda: s.status("Job").get("ready") == 2)
    await s.until(lambda: len(s.ready()) == 2)
    [one, _] = s.names("Pod")
    await s.patch("Pod", {"metadata": {"ownerReferences": None}}, name=one, merge=True)
    await s.until(lambda: owners(s.get("Pod", one)) == [("Job", s.case)])
    labels = ("controller-uid", "job-name")
    removed = {name: None for label in labels for name in (label, f"batch.kubernetes.io/{label}")}
    await s.patch("Pod", {"metadata": {"labels": removed}}, name=one, merge=True)
    await s.until(lambda: owners(s.get("Pod", one)) == [] and len(s.ready()) == 3)
    await s.until(lambda: s.status("Job").get("ready") == 2)


@case("job.go", "`ttlSecondsAfterFinished: 1`: the Job and its pods go by themselves", pods=1)
async def job_ttl(s: Scene) -> None:
    await job(s, does="succeed", ttlSecondsAfterFinished=1)
    await s.until(lambda: s.pods and not s.objects)


@case("job.go", "deleted while it runs: its pods go", pods=2)
async def job_gone(s: Scene) -> None:
    await job(s, parallelism=2, completions=2)
    await s.until(lambda: s.status("Job").get("ready") == 2)
    await s.delete("Job")
    await s.until(lambda: not s.objects)


@case("job.go", "`successPolicy` for index 0: the others are ended when it has succeeded", pods=3)
async def job_success_policy(s: Scene) -> None:
    policy = {"rules": [{"succeededIndexes": "0"}]}
    await job(s, does="lead", parallelism=3, completions=3, completionMode="Indexed", successPolicy=policy)
    await s.until(lambda: s.condition("Job", "Complete") == ("True", "SuccessPolicy"))


@case("job.go", "a pod that is deleted while it runs is replaced", pods=3)
async def job_replaces(s: Scene) -> None:
    await job(s, parallelism=2, completions=2)
    await s.until(lambda: s.status("Job").get("ready") == 2 == len(s.ready()))
    await s.delete("Pod", name=s.names("Pod")[0])
    await s.until(lambda: len(s.gone) == 1 and s.status("Job").get("ready") == 2)


@case("job.go", "an `Indexed` Job grows from 2 to 4 and shrinks to 1: the last indexes go", pods=4)
async def job_elastic(s: Scene) -> None:
    await job(s, parallelism=2, completions=2, completionMode="Indexed")
    for size in (4, 1):
        await s.until(lambda: s.status("Job").get("ready") in {2, 4})
        await s.patch("Job", {"spec": {"parallelism": size, "completions": size}})
        await s.until(lambda: s.status("Job").get("ready") == size == len(s.ready()))  # noqa: B023
    assert s.names("Pod")[0].startswith(f"{s.case}-0-")


# CronJobs.


@case("cronjob.go", "`Forbid`, each minute: one Job is made, in the first minute", pods=1)
async def cron_job_forbid(s: Scene) -> None:
    await cron_job(s, "* * * * *", concurrencyPolicy="Forbid")
    await s.until(lambda: s.status("CronJob").get("active") and s.ready())
    await s.until(lambda: s.names("Job"))
    await s.patch("CronJob", {"spec": {"suspend": True}})
    await s.until(lambda: (s.get("Job", s.names("Job")[0]) or {})["status"].get("ready") == 1)
    assert owners(s.all("Job")[0]) == [("CronJob", s.case)]


@case("cronjob.go", "suspended, it makes none; a Job is made from it by hand", pods=1)
async def cron_job_by_hand(s: Scene) -> None:
    await cron_job(s, "* * * * *", does="succeed", suspend=True)
    await s.kubectl("create", "job", f"--from=cronjob/{s.case}", f"{s.case}-hand")
    await s.until(lambda: "completionTime" in s.status("Job", f"{s.case}-hand"))


@case("cronjob.go", "a Job of it that is deleted is active no longer", pods=1)
async def cron_job_active(s: Scene) -> None:
    await cron_job(s, "* * * * *")
    await s.until(lambda: s.status("CronJob").get("active") and s.ready())
    await s.until(lambda: s.names("Job"))
    await s.patch("CronJob", {"spec": {"suspend": True}})
    await s.delete("Job", name=s.names("Job")[0])
    await s.until(lambda: not s.status("CronJob").get("active") and not s.names("Job") and s.gone)


# DaemonSets.


@case("daemon_set.go", "a pod on each of two nodes; one that is deleted or fails is replaced", pods=4)
async def daemon_set(s: Scene) -> None:
    await s.create("DaemonSet", selected(s))
    await s.until(lambda: is_on_each_node(s))
    await s.delete("Pod", name=s.names("Pod")[0])
    await s.until(lambda: len(s.pods) == 3 and is_on_each_node(s))
    await s.nodes.fail(s.ready()[0])
    await s.until(lambda: len(s.pods) == 4 and is_on_each_node(s))


@case("daemon_set.go", "a rolling update, and back to the template before: two revisions are kept", pods=6)
async def daemon_set_update(s: Scene) -> None:
    await s.create("DaemonSet", selected(s))
    await s.until(lambda: is_on_each_node(s))
    for image in ("two", "one"):
        await update(s, kind="DaemonSet", image=image)
        await s.until(lambda: s.status("DaemonSet").get("updatedNumberScheduled") == 2 and is_on_each_node(s))
    await s.until(lambda: sorted(each["revision"] for each in s.all("ControllerRevision")) == [2, 3])


@case("daemon_set.go", "a rolling update with `maxSurge: 1`: each node has a ready pod all the time", pods=4)
async def daemon_set_surge(s: Scene) -> None:
    await s.create("DaemonSet", {"updateStrategy": rolling(surge=1, unavailable=0), **selected(s)})
    await s.until(lambda: is_on_each_node(s))
    s.fewest_ready = 2
    await update(s, kind="DaemonSet", image="two")
    await s.until(lambda: s.status("DaemonSet").get("updatedNumberScheduled") == 2 and is_on_each_node(s))
    assert s.fewest_ready == 2


@case("daemon_set.go", "`OnDelete`: a new template is taken by a pod when it is deleted, by no other", pods=3)
async def daemon_set_on_delete(s: Scene) -> None:
    await s.create("DaemonSet", {"updateStrategy": {"type": "OnDelete"}, **selected(s)})
    await s.until(lambda: is_on_each_node(s))
    await update(s, kind="DaemonSet", image="two")
    await s.until(lambda: s.status("DaemonSet"))
    s.note(status=s.status("DaemonSet"))
    await s.delete("Pod", name=s.names("Pod")[0])
    await s.until(lambda: s.status("DaemonSet").get("updatedNumberScheduled") == 1 and is_on_each_node(s))


@case("daemon_set.go", "its node selector is changed: the pod goes from one node to the other", pods=2)
async def daemon_set_moves(s: Scene) -> None:
    await s.create("DaemonSet", selected(s, nodeSelector={"example.com/made-1": ""}))
    await s.until(lambda: nodes_of(s) == ["made-1"] and s.status("DaemonSet").get("numberReady") == 1)
    selector = {"example.com/made-1": None, "example.com/made-2": ""}
    await s.patch("DaemonSet", {"spec": {"template": {"spec": {"nodeSelector": selector}}}}, merge=True)
    await s.until(lambda: nodes_of(s) == ["made-2"] and s.status("DaemonSet").get("numberReady") == 1)


# What they share.


CLAIM: Json = {
    "metadata": {"name": "data"},
    "spec": {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "none",
        "resources": {"requests": {"storage": "1Gi"}},
    },
}


def selected(s: Scene, *, does: str = "run", **spec: Any) -> Json:
    pods = template(s.case, does=does, **spec)
    return {"selector": {"matchLabels": pods["metadata"]["labels"]}, "template": pods}


def rolling(*, surge: int, unavailable: int) -> Json:
    return {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}


async def deploy(s: Scene, replicas: int, **spec: Any) -> None:
    """Create the Deployment, and wait until it is rolled out."""
    await s.create("Deployment", {"replicas": replicas, **selected(s), **spec})
    await s.until(lambda: is_rolled_out(s))


async def update(s: Scene, *, image: str, does: str = "run", kind: str = "Deployment") -> None:
    pods = template(s.case, does=does, image=image)
    await s.patch(kind, {"spec": {"template": pods}})


async def stateful(s: Scene, replicas: int, **spec: Any) -> None:
    await s.create("StatefulSet", {"replicas": replicas, "serviceName": s.case, **selected(s), **spec})
    await s.until(lambda: is_stateful(s, replicas))


async def job(s: Scene, *, does: str = "run", **spec: Any) -> None:
    await s.create("Job", {"template": template(s.case, does=does, restartPolicy="Never"), **spec})


async def cron_job(s: Scene, schedule: str, *, does: str = "run", **spec: Any) -> None:
    pods = template(s.case, does=does, restartPolicy="Never")
    jobs = {"metadata": {"labels": {CASE: s.case}}, "spec": {"template": pods}}
    await s.create("CronJob", {"schedule": schedule, "jobTemplate": jobs, **spec})


async def loose(s: Scene) -> Json:
    """Create a pod without a controller, and wait: one that has not seen it makes another. Return its template."""
    pod = template(s.case)
    await s.create("Pod", pod["spec"], name=f"{s.case}-loose", **pod["metadata"])
    await s.until(lambda: len(s.ready()) == 1)
    await asyncio.sleep(1)  # the controller manager's watch is another one, and nothing tells how far it is
    return pod


def is_rolled_out(s: Scene) -> bool:
    """Whether all replicas of the Deployment are of its template, and available, and no other pods are left."""
    found, status = s.get("Deployment"), s.status("Deployment")
    wanted = found["spec"]["replicas"] if found else -1
    counts = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
    current = [each for each in s.all("ReplicaSet") if found and revision_of(each) == revision_of(found)]
    pods = [each["metadata"] for (kind, _), each in s.objects.items() if kind == "Pod"]
    return (
        [status.get(each) for each in counts] == [wanted] * 4
        and s.condition("Deployment", "Progressing")[1] == "NewReplicaSetAvailable"
        and len(current) == 1
        and sum(sizes(s).values()) == current[0]["spec"]["replicas"] == wanted == len(pods) == len(s.ready())
        and {each["labels"]["pod-template-hash"] for each in pods}
        == {current[0]["metadata"]["labels"]["pod-template-hash"]}
    )


def is_stateful(s: Scene, replicas: int) -> bool:
    """Whether the StatefulSet has that many ready pods, all of its newest revision, and no other."""
    status = s.status("StatefulSet")
    counts = [status.get(each) for each in ("replicas", "readyReplicas", "updatedReplicas")]
    return (
        counts == [replicas] * 3
        and status.get("currentRevision") == status.get("updateRevision")
        and len([kind for kind, _ in s.objects if kind == "Pod"]) == replicas
        and [revision_in(each) for each in s.ready()] == [status["updateRevision"]] * replicas
    )


def is_on_each_node(s: Scene) -> bool:
    status = s.status("DaemonSet")
    counts = ("desiredNumberScheduled", "currentNumberScheduled", "numberReady", "numberAvailable")
    return [status.get(each) for each in counts] == [2] * 4 and nodes_of(s) == list(NODES) and len(s.all("Pod")) == 2


def nodes_of(s: Scene) -> list[str]:
    """Return the nodes of the pods that are ready."""
    return sorted(each["spec"]["nodeName"] for each in s.ready())


def sizes(s: Scene) -> dict[str, int]:
    """Return how many pods each ReplicaSet is to have, by its revision."""
    return {revision_of(each): each["spec"]["replicas"] for each in s.all("ReplicaSet")}


def revisions(s: Scene) -> dict[str, str]:
    return {each["metadata"]["name"]: revision_of(each) for each in s.all("ReplicaSet")}


def revision_in(pod: Json) -> str:
    """Return which revision of its StatefulSet a pod is of."""
    return str(pod["metadata"]["labels"]["controller-revision-hash"])


def image_of(pod: Json) -> str:
    return str(pod["spec"]["containers"][0]["image"])


def revision_of(found: Json) -> str:
    """Return the number that the controller gave to a Deployment's template, or to a ReplicaSet of it."""
    return str(found["metadata"].get("annotations", {}).get("deployment.kubernetes.io/revision", ""))


def owners(found: Json | None) -> list[tuple[str, str]]:
    references = [] if found is None else found["metadata"].get("ownerReferences", [])
    return [(each["kind"], each["name"]) for each in references]
