"""
The main use cases with kubectl, as the users in the README.

Waits have generous bounds: these tests check that it happens; how soon is measured on a quiet machine.
"""

from __future__ import annotations

import base64
import json

import pytest

from tests.cluster.running import CONFIG_MAP, NAMESPACE, RunningWebhook, eventually, pod
from webhook.documents.policy_copy import decode_copy
from webhook.kube.policy_copy import KEY, NAME

POLICY = """\
version: 1
defaults:
  user: {hard: {pods: 10, cpu: 1, memory: 1Gi}}
groups:
  ml: {pool: {hard: {cpu: 1500m}}}
"""


def create(running: RunningWebhook, place: str, manifest: str, *options: str, user: str = "alice") -> str:
    """Return the output of kubectl, successful or not."""
    answer = running.cluster.kubectl("create", "-n", place, "-f", "-", *options, user=user, stdin=manifest, check=False)
    return answer.stdout + answer.stderr


@pytest.mark.given
def test_a_pod_that_fits_is_created_and_another_is_denied_with_the_reason(running: RunningWebhook, place: str) -> None:
    running.set_policy(POLICY)
    assert create(running, place, pod("fits", cpu="600m")) == "pod/fits created\n"
    eventually(lambda: "userquota_reservations 0.0" in running.metrics())
    assert create(running, place, pod("too-much", cpu="500m")) == (
        'Error from server (Forbidden): error when creating "STDIN": admission webhook "validate.userquota.dev" denied '
        "the request: exceeded quota: defaults.user, requested: requests.cpu=500m, used: requests.cpu=600m, "
        "limited: requests.cpu=1, reserved: requests.cpu=0, free: requests.cpu=400m for user/alice; "
        "would fit: requests.cpu=400m; charged to alice (created it)\n"
    )
    assert create(running, place, pod("smaller", cpu="400m")) == "pod/smaller created\n"


@pytest.mark.given
def test_dry_run_gives_the_same_decisions_and_reserves_nothing(running: RunningWebhook, place: str) -> None:
    running.set_policy(POLICY)
    for _ in range(5):
        assert "created (server dry run)" in create(running, place, pod("fits", cpu="1"), "--dry-run=server")
    assert "larger than quota: defaults.user" in create(running, place, pod("big", cpu="1001m"), "--dry-run=server")
    assert "userquota_reservations 0.0" in running.metrics()
    assert create(running, place, pod("fits", cpu="1")) == "pod/fits created\n"


@pytest.mark.given
def test_a_deployment_gets_exactly_the_pods_whose_sum_fits(running: RunningWebhook, place: str) -> None:
    running.set_policy(POLICY)
    deployment = f"""\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web}}
spec:
  replicas: 5
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    {pod_spec("300m")}
"""
    told = create(running, place, deployment)
    assert "deployment.apps/web created\n" in told
    assert "Warning: 3 of 5 replicas fit now: over quota defaults.user: requests.cpu requested 1500m" in told
    eventually(lambda: "exceeded quota: defaults.user" in events(running, place))
    assert len(running.cluster.kubectl("get", "pods", "-n", place, "-o", "name").stdout.splitlines()) == 3
    template = running.cluster.kubectl("get", "deploy", "web", "-n", place, "-o", "jsonpath={.spec.template}").stdout
    assert "userquota" not in template
    pods = json.loads(running.cluster.kubectl("get", "pods", "-n", place, "-o", "json").stdout)["items"]
    assert {each["metadata"]["annotations"]["userquota.dev/owner"] for each in pods} == {"alice"}


@pytest.mark.given
def test_a_deletion_frees_usage_soon(running: RunningWebhook, place: str) -> None:
    running.set_policy(POLICY)
    assert create(running, place, pod("first", cpu="1")) == "pod/first created\n"
    assert "exceeded quota" in create(running, place, pod("second", cpu="1"))
    running.cluster.kubectl("delete", "pod", "first", "-n", place, "--wait=true", user="alice")
    eventually(lambda: " created\n" in create(running, place, pod("second", cpu="1")))


@pytest.mark.given
def test_two_people_of_a_group_fill_its_pool_together(running: RunningWebhook, place: str) -> None:
    running.set_policy(POLICY)
    assert create(running, place, pod("hers", cpu="900m"), user="alice") == "pod/hers created\n"
    eventually(lambda: "userquota_reservations 0.0" in running.metrics())
    refused = create(running, place, pod("his", cpu="700m"), user="bob")
    assert "exceeded quota: groups.ml.pool, requested: requests.cpu=700m, used: requests.cpu=900m" in refused
    assert "for group/ml; would fit: requests.cpu=600m; charged to bob (created it)" in refused
    assert create(running, place, pod("his", cpu="600m"), user="bob") == "pod/his created\n"
    assert create(running, place, pod("others", cpu="900m"), user="carol") == "pod/others created\n"


@pytest.mark.given
def test_a_raised_limit_works_soon(running: RunningWebhook, place: str) -> None:
    running.set_policy(POLICY)
    assert "larger than quota" in create(running, place, pod("big", cpu="1200m"))
    running.apply_policy(POLICY.replace("cpu: 1,", "cpu: 2,"))
    eventually(lambda: " created\n" in create(running, place, pod("big", cpu="1200m")))


def test_a_broken_edit_that_got_in_while_no_replica_answered_changes_nothing_and_is_reported(
    running: RunningWebhook, place: str
) -> None:
    """A replica that starts beside it holds the last good limits."""
    running.set_policy(POLICY)
    eventually(lambda: POLICY.strip() in copied_policy(running))

    running.kill()
    running.set_policy(POLICY.replace("cpu: 1,", "cpuu: 9, memry: 1,").replace("pool:", "pol:"))
    running.start()
    eventually(lambda: running.readiness().startswith("ok\n"), what=running.readiness)

    assert "larger than quota: defaults.user" in create(running, place, pod("big", cpu="1200m"))
    eventually(lambda: events(running, NAMESPACE).count("PolicyInvalid") >= 3)
    listed = events(running, NAMESPACE)
    assert f"{CONFIG_MAP}/policy.yaml:3:27: defaults.user.hard.cpuu: unknown resource, did you mean cpu?" in listed
    assert "userquota_policy_valid 0.0" in running.metrics()
    reported = running.readiness().removeprefix("ok\n")
    assert reported.startswith("policy: the last good policy is in force; the first mistake in what is written: ")
    assert "cpuu" in reported
    running.set_policy(POLICY)
    assert running.readiness() == "ok\n"
    assert "userquota_policy_valid 1.0" in running.metrics()


@pytest.mark.given
def test_warn_and_audit_modes_allow(running: RunningWebhook, place: str) -> None:
    running.set_policy(
        "version: 1\ndefaults: {user: {hard: {pods: 0}, mode: warn}}\ncluster: {hard: {pods: 0}, mode: audit}\n"
    )
    said = create(running, place, pod("warned"))
    assert said.endswith("pod/warned created\n") or "pod/warned created" in said
    assert "Warning: over quota defaults.user: pods requested 1, free 0 of 0" in said
    assert "cluster" not in said


def copied_policy(running: RunningWebhook) -> str:
    """The text that replicas keep for a restart, empty if there is none."""
    path = f"jsonpath={{.binaryData.{KEY.replace('.', chr(92) + '.')}}}"
    answer = running.cluster.kubectl("get", "configmap", NAME, "-n", NAMESPACE, "-o", path, check=False)
    content = base64.b64decode(answer.stdout)
    return "".join(each.text for each in decode_copy(content).texts) if content else ""


def pod_spec(cpu: str) -> str:
    return f"spec: {{containers: [{{name: main, image: example/x, resources: {{requests: {{cpu: {cpu}}}}}}}]}}"


def events(running: RunningWebhook, namespace: str) -> str:
    return running.cluster.kubectl("get", "events", "-n", namespace, "-o", "custom-columns=R:.reason,M:.message").stdout
