"""Whom and what a policy exempts, by name and until when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from webhook.quota.exemption import NO_EXEMPTIONS, ExemptBy, Exemption, Exemptions
from webhook.quota.policy import Policy
from webhook.quota.subject import NOBODY, Account, Payer

NOW = datetime(2026, 11, 29, tzinfo=UTC)
OPERATOR = "system:serviceaccount:net:operator"
POD = ("NotBestEffort", "NotTerminating", "PriorityClass=node-critical")
ROWS = {
    "manager": Exemption(ExemptBy.USER, "cloud:manager", "add-ons"),
    "operator": Exemption(ExemptBy.SERVICE_ACCOUNT, OPERATOR, "the network"),
    "masters": Exemption(ExemptBy.GROUP, "system:masters", "administrators"),
    "monitoring": Exemption(ExemptBy.NAMESPACE, "monitoring", "it watches all others"),
    "critical": Exemption(ExemptBy.PRIORITY_CLASS, "node-critical", "each node needs it"),
    "migration": Exemption(ExemptBy.USER, "alice", "a migration", NOW),
    "again": Exemption(ExemptBy.USER, "alice", "another one", NOW + timedelta(days=1)),
}
EXEMPTIONS = Exemptions(ROWS.values())

CASES = {
    "a user": (Account(Payer("cloud:manager")), "red", NOW, "manager"),
    "a service account": (Account(Payer(OPERATOR)), "net", NOW, "operator"),
    "a member of a group": (Account(Payer("admin", ("staff", "system:masters"))), "red", NOW, "masters"),
    "anybody in a namespace": (Account(NOBODY), "monitoring", NOW, "monitoring"),
    "a pod of a priority class": (Account(Payer("bob"), POD), "red", NOW, "critical"),
    "before its end": (Account(Payer("alice")), "red", NOW - timedelta(microseconds=1), "migration"),
    "at its end, another one": (Account(Payer("alice")), "red", NOW, "again"),
    "after the last end": (Account(Payer("alice")), "red", NOW + timedelta(days=1), None),
    "another user": (Account(Payer("bob"), POD[:2]), "red", NOW, None),
    "a user with the name of a group": (Account(Payer("system:masters")), "red", NOW, None),
    "a group with the name of a user": (Account(Payer("bob", ("cloud:manager",))), "red", NOW, None),
    "a namespace with the name of a class": (Account(Payer("bob")), "node-critical", NOW, None),
}


@pytest.mark.parametrize(("account", "namespace", "now", "found"), CASES.values(), ids=CASES.keys())
def test_what_is_exempt(account: Account, namespace: str, now: datetime, found: str | None) -> None:
    assert EXEMPTIONS.of(account, namespace, now) == (ROWS[found] if found else None)
    assert NO_EXEMPTIONS.of(account, namespace, now) is None


def test_a_group_that_exempts_is_kept_of_a_payer() -> None:
    payer = Payer("admin", ("staff", "system:masters"))

    assert Policy(exemptions=EXEMPTIONS).named(payer) == Payer("admin", ("system:masters",))
    assert Policy().named(payer) == Payer("admin")
