"""What manifests/monitoring holds: the rules of the PrometheusRule, and the queries of the dashboard."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

MONITORING = Path(__file__).parents[2] / "manifests/monitoring"

_QUOTED = re.compile(r'"[^"]*"')
_METRIC = re.compile(r"\b(?:userquota|process|apiserver)_[a-z_]+|\bup\b")


def loaded(name: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((MONITORING / name).read_text())
    return document


def rules() -> dict[str, Any]:
    """What a rules file of Prometheus has; the operator makes one of it in the same way."""
    spec: dict[str, Any] = loaded("prometheusrule.yaml")["spec"]
    return spec


def alerts() -> dict[str, dict[str, Any]]:
    """The alerts by their names."""
    [group] = rules()["groups"]
    return {each["alert"]: each for each in group["rules"]}


def board() -> dict[str, Any]:
    document: dict[str, Any] = json.loads((MONITORING / "dashboard.json").read_text())
    return document


def queries() -> list[str]:
    """The queries of the dashboard, as Grafana sends them for a graph of six hours."""
    found = [target["expr"] for panel in board()["panels"] for target in panel.get("targets", ())]
    return [each.replace("$__rate_interval", "2m") for each in found]


def metrics_in(expression: str) -> set[str]:
    """Return the names of the series that *expression* reads."""
    return set(_METRIC.findall(_QUOTED.sub('""', expression)))
