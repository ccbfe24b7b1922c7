"""
Documents, alerts and the dashboard name what a replica, and the API servers that call it, do export.

Prometheus takes a query for what does not exist for one without a result: a wrong name raises no alert for ever.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from tests.cluster.running import RunningWebhook, eventually, pod
from tests.monitoring.manifests import alerts, metrics_in, queries
from webhook.quota.commitments import Pool
from webhook.quota.quantity import NANOS
from webhook.quota.subject import Subject
from webhook.serving.pool_series import PoolSeries
from webhook.serving.quota_series import quota_series
from webhook.view.fullest import Filled, FullestQuotas
from webhook.view.pools import PoolRow, PoolStanding

DOCUMENT = (Path(__file__).parents[2] / "docs/metrics.md").read_text()
_ROW = re.compile(r"^\| `(\w+)` \| (\w+) \|(.*?)\|.*\|$", re.MULTILINE)
_NAME = re.compile(r'name=~"([^"]*)"')
EXPRESSIONS = [*queries(), *(each["expr"] for each in alerts().values())]

Described = dict[str, tuple[str, frozenset[str]]]
"""Type and labels by name, counters with `_total`."""


def described(text: str) -> Described:
    found: Described = {}
    for family in text_string_to_metric_families(text):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        found[name] = family.type, frozenset(labels)
    return found


def documented() -> Described:
    return {name: (of_type, frozenset(re.findall(r"\w+", labels))) for name, of_type, labels in _ROW.findall(DOCUMENT)}


@pytest.fixture(scope="module")
def exported(running: RunningWebhook) -> Described:
    """What the replica of all tests exports after a create, and what it would show of people and of promises."""
    name = f"counted-{secrets.token_hex(4)}"
    running.cluster.kubectl("create", "namespace", name)
    running.cluster.kubectl("apply", "-n", name, "-f", "-", stdin=pod("counted"))
    running.cluster.kubectl("delete", "namespace", name, "--wait=false")
    quotas = FullestQuotas((Filled(Subject("user/alice"), "BestEffort", "pods", NANOS, NANOS),), 0)
    standing = PoolStanding(Pool("h100", "a"), (PoolRow("gpu", NANOS, 0, 0, NANOS, NANOS),))
    pools = CollectorRegistry()
    pools.register(PoolSeries(lambda: [standing]))
    return described(running.metrics() + quota_series(quotas).decode() + generate_latest(pools).decode())


def test_the_table_has_each_metric_of_a_replica_with_its_type_and_labels(exported: Described) -> None:
    assert documented() == exported


def test_what_alerts_and_the_dashboard_ask_for_is_exported(exported: Described) -> None:
    series = {
        each
        for name, (of_type, _) in exported.items()
        for each in ((f"{name}_bucket", f"{name}_count", f"{name}_sum") if of_type == "histogram" else (name,))
    }
    asked = {each: metrics_in(each) for each in EXPRESSIONS}

    assert [each for each, found in asked.items() if not found] == []
    lost = {
        each: {name for name in found - series if not name.startswith("apiserver_")} for each, found in asked.items()
    }
    assert {each: names - {"up"} for each, names in lost.items() if names - {"up"}} == {}


def test_a_replica_has_the_checks_that_alerts_name(running: RunningWebhook) -> None:
    selectors = [each for expression in EXPRESSIONS for each in re.findall(r"userquota_healthcheck{(.*?)}", expression)]
    named = {
        (key, value)
        for selector in selectors
        for key, values in re.findall(r'(name|type)[=!~]+"([^"]*)"', selector)
        for value in values.split("|")
    }
    shown = re.findall(r'^userquota_healthcheck{name="(.*?)",type="(.*?)"} 1.0$', running.metrics(), re.MULTILINE)

    assert named == {
        ("name", "ledger"),
        ("name", "policy"),
        ("name", "policy-notes"),
        ("type", "readyz"),
        ("type", "warning"),
    }
    assert named <= {(key, value) for pair in shown for key, value in zip(("name", "type"), pair, strict=True)}


@pytest.fixture
def unanswered(running: RunningWebhook) -> Iterator[dict[str, str]]:
    """Webhooks of nobody, by failurePolicy, which are called for ConfigMaps of one namespace."""
    place = f"unanswered-{secrets.token_hex(4)}"
    names = {policy: f"{policy.lower()}-{place}.userquota.dev" for policy in ("Fail", "Ignore")}
    hooks = [
        {
            "name": name,
            "failurePolicy": policy,
            "clientConfig": {"url": "https://127.0.0.1:1/none"},
            "rules": [
                {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}
            ],
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": place}},
            "matchConditions": [{"name": "mine", "expression": f"object.metadata.name == '{policy.lower()}'"}],
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "timeoutSeconds": 1,
        }
        for policy, name in names.items()
    ]
    configuration = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": place},
        "webhooks": hooks,
    }
    running.cluster.kubectl("create", "namespace", place)
    running.cluster.kubectl("apply", "-f", "-", stdin=json.dumps(configuration))
    yield {**names, "place": place}
    running.cluster.kubectl("delete", "validatingwebhookconfiguration", place)
    running.cluster.kubectl("delete", "namespace", place, "--wait=false")


def test_api_servers_count_failed_calls_under_the_names_that_the_alerts_ask_for(
    running: RunningWebhook, unanswered: dict[str, str]
) -> None:
    def create(name: str) -> str:
        place = unanswered["place"]
        return running.cluster.kubectl("create", "configmap", name, "-n", place, check=False).stderr

    eventually(lambda: "failed calling webhook" in create("fail"))
    assert create("ignore") == ""
    text = running.cluster.kubectl("get", "--raw", "/metrics").stdout  # the parser renames counters without `_total`
    counted = {
        (metric, labels["name"], labels.get("error_type"))
        for metric, written in re.findall(r"^(\w+)\{(.*)\} \S+$", text, re.MULTILINE)
        if "name" in (labels := dict(re.findall(r'(\w+)="([^"]*)"', written)))
    }

    for alert, policy, error in (
        ("UserquotaCallsFail", "Fail", "calling_webhook_error"),
        ("UserquotaCallsFailOpen", "Ignore", None),
    ):
        expression = alerts()[alert]["expr"]
        [metric], [pattern] = metrics_in(expression), _NAME.findall(expression)
        assert (metric, unanswered[policy], error) in counted
        assert re.fullmatch(pattern, unanswered[policy])
        assert error is None or f'error_type="{error}"' in expression
