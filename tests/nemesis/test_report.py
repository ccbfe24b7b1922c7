"""What the report says at its top, and what it shows of a violation."""

from __future__ import annotations

from pathlib import Path

from nemesis import report
from nemesis.judge import judge
from tests.nemesis.histories import History, begun, granted


def rendered(history: History, folder: Path) -> str:
    findings = judge(history.write_to(folder))
    return report.render(folder, findings)


def test_a_run_with_too_few_decisions_is_void(tmp_path: Path) -> None:
    history = begun()
    for _ in range(60 * 100 - 1):
        history.audited(201, is_decided=True)

    assert "**Void**" in rendered(history, tmp_path)


def test_a_run_with_enough_decisions_and_no_violation_says_so(tmp_path: Path) -> None:
    history = begun()
    for _ in range(60 * 100):
        history.audited(201, is_decided=True)

    assert "**No violation.**" in rendered(history, tmp_path)


def test_a_violation_is_shown_with_the_pod_and_the_ledger_around_it(tmp_path: Path) -> None:
    history = begun()
    history.store("a", "uid-1")

    text = rendered(history, tmp_path)

    assert "**Violations: 1.**" in text
    assert "neither held nor seen: pod nemesis-a/a uid uid-1 at 103" in text
    assert "ledger first-1 write 0 open, settled through 0" in text


def test_a_run_with_grants_under_which_nothing_is_stored_says_so(tmp_path: Path) -> None:
    history = begun()
    history.has_grants = True
    for _ in range(60 * 100):
        history.audited(201, is_decided=True)
    assert "Says little of grants" in rendered(history, tmp_path)

    history.has_grants = False
    assert "Says little of grants" not in rendered(history, tmp_path)


def test_what_was_stored_under_grants_is_shown(tmp_path: Path) -> None:
    history = begun()
    history.has_grants = True
    history.grant(granted("g", 2))
    history.give_back(through=history.store("a", "1"))
    history.audited(201, is_decided=True)

    text = rendered(history, tmp_path)

    assert "Says little of grants" not in text
    assert "| pods, claims, ResourceClaims, sessions stored under a grant, without a reservation | 1, 0, 0, 0 |" in text
    assert "| writes of the ledger with grants | 1 |" in text
    assert "| writes of the ledger per decision | 2.00 |" in text
