"""What an administrator reads of an alert, and whether it fits what it watches; promtool judges the rest."""

from __future__ import annotations

import contextlib
import json
import os
import re
import ssl
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest
import yaml

from localcluster.controlplane import ControlPlane
from tests.monitoring.manifests import MONITORING, alerts, board, loaded
from webhook import certificates
from webhook.certificates.authority import LEAF_LIFE
from webhook.kube.api import KubernetesApi
from webhook.serving.metrics import _BUCKETS, ALERTED_REASONS
from webhook.wiring.application import SystemClock

ROOT = Path(__file__).parents[2]
HEADINGS = re.findall(r"^## (\w+)$", (ROOT / "docs/alerts.md").read_text(), re.MULTILINE)


def webhooks() -> list[dict[str, Any]]:
    files = (ROOT / "manifests").glob("*webhookconfiguration.yaml")
    return [each for file in files for each in yaml.safe_load(file.read_text())["webhooks"]]


def test_each_alert_has_a_heading_in_the_document_and_each_heading_an_alert() -> None:
    assert sorted(HEADINGS) == sorted(alerts())


@pytest.mark.parametrize("name", alerts())
def test_an_alert_says_what_to_do_and_how_urgent_it_is_as_its_heading_does(name: str) -> None:
    alert = alerts()[name]
    section = (ROOT / "docs/alerts.md").read_text().partition(f"## {name}\n\n")[2]

    assert alert["labels"]["severity"] in {"critical", "warning", "info"}
    assert re.split(r"\W", section, maxsplit=1)[0].lower() == alert["labels"]["severity"]
    assert alert["annotations"].keys() == {"summary", "description", "runbook"}
    assert alert["annotations"]["runbook"] == f"docs/alerts.md#{name.lower()}"
    assert all(text.strip().endswith(".") for key, text in alert["annotations"].items() if key != "runbook")


@pytest.mark.parametrize("name", alerts())
def test_an_alert_on_the_increase_of_errors_names_reasons_that_are_shown_from_the_start(name: str) -> None:
    """A series that begins at 1 has not increased."""
    assert reasons_in(alerts()[name]["expr"]) <= set(ALERTED_REASONS)


def test_no_reason_is_shown_from_the_start_without_an_alert() -> None:
    named = {reason for each in alerts().values() for reason in reasons_in(each["expr"])}
    assert named == set(ALERTED_REASONS)


def reasons_in(expression: str) -> set[str]:
    """Return the reasons that an expression selects, one by one or as alternatives."""
    return {reason for each in re.findall(r'reason=~?"([^"]*)"', expression) for reason in each.split("|")}


def test_slow_is_half_of_the_time_after_which_a_create_is_refused_and_a_bound_of_the_histogram() -> None:
    """Between two bounds Prometheus guesses."""
    limit = float(alerts()["UserquotaSlow"]["expr"].rpartition("> ")[2])
    refusing = [each for each in webhooks() if each["failurePolicy"] == "Fail"]
    paths = {each["clientConfig"]["service"]["path"] for each in refusing}

    assert min(each["timeoutSeconds"] for each in refusing) == limit * 2
    assert limit in _BUCKETS
    assert paths <= set(re.findall(r"/\w+", alerts()["UserquotaSlow"]["expr"]))


def test_a_certificate_that_is_renewed_as_planned_raises_no_alert() -> None:
    days, hours, seconds = map(int, re.findall(r"\d+", alerts()["UserquotaCertificateNearEnd"]["expr"]))
    assert days * hours * seconds < LEAF_LIFE.total_seconds() / 3


def test_failed_calls_are_those_of_all_our_webhooks() -> None:
    [pattern] = set(re.findall(r'name=~"([^"]*)"', alerts()["UserquotaCallsFail"]["expr"]))
    assert all(re.fullmatch(pattern, each["name"]) for each in webhooks())
    assert not re.fullmatch(pattern, "validate.userquotaXdev.example.com")


async def test_prometheus_trusts_the_authority_that_userquota_makes_for_the_service(
    control_plane: ControlPlane, api: KubernetesApi, namespace: str
) -> None:
    [endpoint] = loaded("servicemonitor.yaml")["spec"]["endpoints"]
    service = yaml.safe_load((ROOT / "manifests/service.yaml").read_text())
    settings, authority = endpoint["tlsConfig"], endpoint["tlsConfig"]["ca"]["secret"]
    names = certificates.serving_names(service["metadata"]["namespace"])
    identity = await certificates.from_secret(api, namespace=namespace, names=names, clock=SystemClock())
    stored = control_plane.kubectl("get", "secret", authority["name"], "-n", namespace, "-o", "json").stdout
    trusted = b64decode(json.loads(stored)["data"][authority["key"]]).decode()

    shaken_hands(identity.context, ssl.create_default_context(cadata=trusted), name=settings["serverName"])

    assert endpoint["port"] in [each["name"] for each in service["spec"]["ports"]]


def shaken_hands(server: ssl.SSLContext, client: ssl.SSLContext, *, name: str) -> None:
    """Raises: SSLError if *client* does not trust *server*."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(back, there, server_hostname=name),
        server.wrap_bio(there, back, server_side=True),
    ]
    for _ in range(3):
        for end in ends:
            with contextlib.suppress(ssl.SSLWantReadError):
                end.do_handshake()
    assert ends[0].getpeercert()


def test_every_file_is_installed() -> None:
    kustomization = loaded("kustomization.yaml")
    [generated] = kustomization["configMapGenerator"]
    named = [*kustomization["resources"], *(each.partition("=")[2] for each in generated["files"])]
    assert sorted(named) == sorted(path.name for path in MONITORING.iterdir() if path.name != "kustomization.yaml")


def test_the_folder_is_an_overlay_that_the_readme_adds_to_the_manifests(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    section = (ROOT / "manifests/README.md").read_text().partition("## Alerts and a dashboard")[2]
    [written] = re.findall(r"```yaml\n(# kustomization.yaml\n.*?)```", section.partition("\n## ")[0], re.DOTALL)
    (tmp_path / "kustomization.yaml").write_text(
        written.replace("path/to/manifests", os.path.relpath(ROOT / "manifests", tmp_path.resolve()))
    )
    rendered = list(yaml.safe_load_all(control_plane.kubectl("kustomize", str(tmp_path)).stdout))
    ours = [
        each
        for each in rendered
        if "monitoring" in each["apiVersion"] or each["metadata"]["name"] == "userquota-dashboard"
    ]
    kinds = {each["kind"]: each for each in ours}

    assert len(ours) == 3
    assert {each["metadata"]["namespace"] for each in ours} == {"userquota-system"}
    assert kinds["PrometheusRule"]["spec"] == loaded("prometheusrule.yaml")["spec"]
    assert kinds["ConfigMap"]["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(kinds["ConfigMap"]["data"]["userquota.json"]) == board()
    [service] = [each for each in rendered if each["kind"] == "Service"]
    selector = kinds["ServiceMonitor"]["spec"]["selector"]["matchLabels"]
    assert selector.items() <= service["metadata"]["labels"].items()


def test_panels_of_the_dashboard_have_places_and_ids_of_their_own_and_ask_the_chosen_data_source() -> None:
    panels = board()["panels"]
    cells = [
        (x, y)
        for each in panels
        for place in [each["gridPos"]]
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]

    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    assert len({each["id"] for each in panels}) == len(panels)
    assert all(each["title"] for each in panels)
    [variable] = board()["templating"]["list"]
    sources = [
        asked["datasource"]["uid"] for panel in panels if panel["type"] != "row" for asked in (panel, *panel["targets"])
    ]
    assert set(sources) == {f"${{{variable['name']}}}"}
