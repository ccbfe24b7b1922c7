"""A real Prometheus scrapes a real replica over TLS, loads the rules, and answers what the dashboard asks."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import ssl
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from localcluster.addresses import HeldPort
from tests.admission.asking import a_review, pod, stamped
from tests.cluster.running import ask, eventually
from tests.monitoring.manifests import alerts, loaded, queries, rules
from tests.monitoring.programs import program

pytestmark = pytest.mark.debian

ROOT = Path(__file__).parents[2]
POLICY = "version: 1\ndefaults: {user: {hard: {cpu: 4, pods: 10}}}\ncluster: {hard: {pods: 100000}}\n"
TOKEN = "a-token-of-the-api-server-0123456789"  # noqa: S105 - it is for this test alone
TAKEN_UP = 60.0
"""Seconds within which Prometheus has what the replica tells: a walk over all accounts, and two scrapes."""


@dataclass(frozen=True)
class Replica:
    """A replica of its own, without a cluster, which shows the quotas of the three fullest."""

    url: str
    folder: Path

    def connection(self) -> http.client.HTTPSConnection:
        trust = ssl.create_default_context(cafile=str(self.folder / "ca.crt"))
        return http.client.HTTPSConnection(self.url.removeprefix("https://"), timeout=10, context=trust)

    def post(self, *reviews: tuple[str, str], token: str = TOKEN) -> list[int | bool]:
        """Post creates of pods, each of a user with a name; return what is allowed, or the status if not 200."""
        found: list[int | bool] = []
        with contextlib.closing(self.connection()) as connection:
            for user, name in reviews:
                body = json.dumps(a_review(user=user, name=name, object=stamped(pod(name), user)))
                connection.request("POST", "/validate?timeout=5s", body, {"Authorization": f"Bearer {token}"})
                answer = connection.getresponse()
                content = json.loads(answer.read())
                found.append(content["response"]["allowed"] if answer.status == 200 else answer.status)
        return found

    def metrics(self) -> str:
        return ask(f"{self.url}/metrics", ca_file=self.folder / "ca.crt")


@dataclass(frozen=True)
class Prometheus:
    """A server, by its HTTP API."""

    url: str

    def asked(self, path: str, **parameters: str) -> Any:
        """Return the data of an answer. Raises: HTTPError, with which Prometheus says that a query is none."""
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=10) as answer:  # noqa: S310 - loopback
            body = json.loads(answer.read())
        assert body["status"] == "success"
        assert not body.get("warnings")
        return body["data"]

    def values(self, query: str) -> dict[tuple[str, ...], float]:
        """Return the values of *query* by what their labels say, in the order of the labels' names."""
        return {
            tuple(value for _, value in sorted(each["metric"].items())): float(each["value"][1])
            for each in self.asked("query", query=query)["result"]
        }

    def is_up(self) -> bool:
        try:
            return list(self.values("up").values()) == [1.0]
        except OSError:
            return False


def free_address() -> str:
    held = HeldPort()
    held.release()
    return f"127.0.0.1:{held.number}"


@pytest.fixture(scope="module")
def replica(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    folder, listen = tmp_path_factory.mktemp("replica"), free_address()
    (folder / "policy.yaml").write_text(POLICY)
    (folder / "tokens").write_text(TOKEN)
    argv = [sys.executable, "-m", "webhook", "serve", "--standalone", "--policy", str(folder / "policy.yaml")]
    argv += ["--listen", listen, "--ca-out", str(folder / "ca.crt"), "--drain", "0"]
    argv += ["--client-token-file", str(folder / "tokens"), "--metrics-subjects", "3"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(argv, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
    found = Replica(f"https://{listen}", folder)
    try:
        eventually(lambda: "userquota_build_info" in found.metrics(), what=(folder / "log").read_text)
        yield found
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=20)


@pytest.fixture(scope="module")
def prometheus(replica: Replica, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """It is set up as the operator does it with the ServiceMonitor and the PrometheusRule, but looks each second."""
    folder, listen = tmp_path_factory.mktemp("prometheus"), free_address()
    [endpoint] = loaded("servicemonitor.yaml")["spec"]["endpoints"]
    scraped = {
        "job_name": "userquota",
        "scheme": endpoint["scheme"],
        "metrics_path": endpoint["path"],
        "tls_config": {"ca_file": str(replica.folder / "ca.crt")},
        "static_configs": [{"targets": [replica.url.removeprefix("https://")]}],
    }
    configuration = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": ["rules.yaml"],
        "scrape_configs": [scraped],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    (folder / "rules.yaml").write_text(yaml.safe_dump(rules()))
    argv = [program("prometheus"), "--config.file=prometheus.yml", "--storage.tsdb.path=data"]
    environ = {**os.environ, "GOMAXPROCS": "1"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*argv, f"--web.listen-address={listen}"], cwd=folder, stdout=log, stderr=subprocess.STDOUT, env=environ
        )
    found = Prometheus(f"http://{listen}")
    try:
        eventually(found.is_up, within=TAKEN_UP, what=(folder / "log").read_text)
        yield found
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=20)


def test_the_rules_are_loaded_and_evaluated_without_an_error(prometheus: Prometheus) -> None:
    [group] = prometheus.asked("rules", type="alert")["groups"]

    def evaluated() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = prometheus.asked("rules", type="alert")["groups"][0]["rules"]
        return found

    assert [each["name"] for each in group["rules"]] == list(alerts())
    eventually(lambda: all(each["health"] == "ok" for each in evaluated()), what=lambda: str(evaluated()))
    assert not any(each.get("lastError") for each in evaluated())


@pytest.mark.parametrize("query", queries())
def test_each_query_of_the_dashboard_is_answered(prometheus: Prometheus, query: str) -> None:
    assert "result" in prometheus.asked("query", query=query)


def test_what_is_used_is_in_prometheus_as_kube_state_metrics_would_say_it(
    prometheus: Prometheus, replica: Replica
) -> None:
    assert replica.post(("alice", "a1"), ("alice", "a2"), ("alice", "a3"), ("bob", "b1")) == [True] * 4
    kind = 'userquota_quota{subject_kind="user",resource="requests.cpu",type="%s"}'
    full = f"sum by (subject) ({kind % 'used'} / ignoring (type) {kind % 'hard'})"

    eventually(
        lambda: prometheus.values(full) == {("alice",): 0.75, ("bob",): 0.25},
        within=TAKEN_UP,
        what=lambda: f"{prometheus.values(full)}\n{replica.metrics()}",
    )
    assert prometheus.values("userquota_quota_subjects_omitted").popitem()[1] == 0


def test_a_caller_without_a_token_raises_an_alert_that_says_so(prometheus: Prometheus, replica: Replica) -> None:
    def fired() -> list[dict[str, Any]]:
        return [
            each
            for each in prometheus.asked("alerts")["alerts"]
            if each["labels"]["alertname"] == "UserquotaUnprovenCallers" and each["state"] == "firing"
        ]

    assert fired() == []
    assert replica.post(("mallory", "m1"), token="none") == [401]  # noqa: S106 - it is for this test alone

    eventually(lambda: bool(fired()), within=TAKEN_UP, what=lambda: str(prometheus.asked("alerts")))
    [alert] = fired()
    assert alert["annotations"]["runbook"] == "docs/alerts.md#userquotaunprovencallers"


def test_three_thousand_made_up_names_add_no_series_but_those_of_three_subjects(replica: Replica) -> None:
    def others() -> set[str]:
        """The series without the quotas, which are told by the last walk."""
        lines = (each.rpartition(" ")[0] for each in replica.metrics().splitlines() if not each.startswith("#"))
        return {each for each in lines if not each.startswith("userquota_quota{")}

    replica.post(("first", "first"))
    before = others()
    assert all(replica.post(*((f"nobody-{number}", f"p-{number}") for number in range(3000))))
    eventually(lambda: "userquota_quota_subjects_omitted 3" in replica.metrics(), within=TAKEN_UP)

    assert others() == before
    assert len(set(re.findall(r'subject="([^"]*)"', replica.metrics()))) == 3
    assert replica.metrics().count("userquota_quota{") <= 3 * 2 * 2
