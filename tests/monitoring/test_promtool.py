"""promtool reads the rules as Prometheus does, and evaluates each alert where it fires and where not."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.monitoring.manifests import alerts, queries, rules
from tests.monitoring.programs import program
from tests.monitoring.worlds import WELL, WORLDS

pytestmark = pytest.mark.debian


def promtool(*arguments: str, folder: Path) -> str:
    """Return what promtool says. Fails with that if it is not content."""
    done = subprocess.run([program("promtool"), *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def fired(name: str, labels: Mapping[str, str]) -> str:
    """Return the series by which Prometheus shows an alert that fires."""
    shown = {"alertname": name, "alertstate": "firing", "severity": alerts()[name]["labels"]["severity"], **labels}
    return f"ALERTS{{{','.join(f'{key}={json.dumps(value)}' for key, value in sorted(shown.items()))}}}"


def unit_test(title: str, series: Mapping[str, str], expected: list[str]) -> dict[str, Any]:
    return {
        "name": title,
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in {**WELL, **series}.items()],
        "promql_expr_test": [
            {
                "expr": 'ALERTS{alertstate="firing"}',
                "eval_time": "60m",
                "exp_samples": [{"labels": each, "value": 1} for each in expected],
            }
        ],
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rules()))
    return tmp_path


def judged(folder: Path, *tests: dict[str, Any]) -> str:
    document = {"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": list(tests)}
    (folder / "tests.yaml").write_text(yaml.safe_dump(document))
    return promtool("test", "rules", "tests.yaml", folder=folder)


def test_the_rules_are_rules(folder: Path) -> None:
    assert f"{len(alerts())} rules found" in promtool(
        "check", "rules", "--lint=all", "--lint-fatal", "rules.yaml", folder=folder
    )


def test_there_are_worlds_for_each_alert() -> None:
    assert WORLDS.keys() == alerts().keys()


def test_nothing_is_raised_while_all_is_well(folder: Path) -> None:
    judged(folder, unit_test("well", {}, []))


@pytest.mark.parametrize("name", WORLDS)
def test_an_alert_fires_alone_and_is_silent_just_below(folder: Path, name: str) -> None:
    worlds = WORLDS[name]
    judged(
        folder,
        unit_test(f"{name} fires", worlds.fires, [fired(name, worlds.labels)]),
        *(unit_test(f"{name} is silent, {number}", each, []) for number, each in enumerate(worlds.silent)),
    )


def test_a_query_of_the_dashboard_is_one(folder: Path) -> None:
    """As rules that record it: promtool 2.42 has no other way to parse a query without a server."""
    recorded = [{"record": f"query:{number}", "expr": each} for number, each in enumerate(queries())]
    (folder / "queries.yaml").write_text(yaml.safe_dump({"groups": [{"name": "board", "rules": recorded}]}))
    promtool("check", "rules", "queries.yaml", folder=folder)
