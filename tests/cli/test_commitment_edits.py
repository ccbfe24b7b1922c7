"""
`userquota commitments create` and the others that change: what they take, and what they print.

tests/cluster/test_commitment_commands.py has what they do.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
import yaml

from tests.cli.running import in_process
from webhook.cli.commitment_tables import show_edited, show_served
from webhook.quota.commitments import Commitment, Pool, State
from webhook.quota.quantity import NANOS
from webhook.quota.subject import tenant, user
from webhook.wiring.commitment_editor import Changed, Edited, Served, Waiting, What

NEW = ["create", "c-1", "--tenant", "research", "--node-class", "h100"]
CREATES = {
    "no amount": ([*NEW], "--amount: expected at least one"),
    "an amount without a name": ([*NEW, "--amount", "8"], "--amount: 8: expected RESOURCE=AMOUNT, as in gpu=8"),
    "an amount twice": ([*NEW, "--amount", "gpu=8,gpu=9"], "--amount: gpu is given twice"),
    "a resource that is none": (
        [*NEW, "--amount", "gpuu=8"],
        "--amount gpuu: unknown resource, did you mean gpu?",
    ),
    "a unit that is none": (
        [*NEW, "--amount", "memory=2TB"],
        "--amount memory: invalid quantity '2TB': expected a number with a suffix such as m, k, M, G, Ki, Mi, Gi or e3",
    ),
    "nothing of it": ([*NEW, "--amount", "gpu=0"], "--amount: gpu: expected an amount above 0"),
    "what nodes do not have": ([*NEW, "--amount", "sessions=1"], "--amount: sessions is nothing that nodes have"),
    "no zone of a time": (
        [*NEW, "--amount", "gpu=8", "--until", "2027-01-01"],
        "--until: the time zone is missing: write Z for UTC, or as in 2027-01-31T00:00:00+01:00",
    ),
    "a period that is negative": (
        [*NEW, "--amount", "gpu=8", "--for", "-1 month"],
        "--for: '-1 month' is no period: it is negative",
    ),
    "two ends": (
        [*NEW, "--amount", "gpu=8", "--for", "1 year", "--until", "2099-01-01T00:00:00Z"],
        "until and for both say when it ends: give one of them",
    ),
    "an end before the beginning": (
        [*NEW, "--amount", "gpu=8", "--from", "2027-01-01T00:00:00Z", "--until", "2026-01-01T00:00:00Z"],
        "it ends before it begins: until has to be later than from",
    ),
    "an end that is over": (
        [*NEW, "--amount", "gpu=8", "--until", "2020-01-01T00:00:00Z"],
        "it ends before it begins: until has to be later than from",
    ),
    "a guarantee that has begun": (
        [*NEW, "--amount", "gpu=8", "--state", "guaranteed"],
        "what is guaranteed begins later: give from, or write state: confirmed",
    ),
    "two holders": (
        [*NEW, "--amount", "gpu=8", "--user", "alice"],
        "expected one of user, serviceAccount, namespace, group, tenant: who holds it",
    ),
    "no service account": (
        ["create", "c-1", "--service-account", "ci", "--node-class", "h100", "--amount", "gpu=8"],
        "--service-account: expected a service account as <namespace>/<name>",
    ),
    "no class": (["create", "c-1", "--user", "alice", "--amount", "gpu=8"], "--node-class: this field is required"),
    "two mistakes": (
        ["create", "c-1", "--user", "alice", "--node-class", "H", "--amount", "gpu=x"],
        (
            "--node-class: expected a name of small letters, digits, - and ., as in h100\n"
            "--amount gpu: invalid quantity 'x': it has no digits"
        ),
    ),
    "a name with a space": (
        ["create", " c", "--user", "alice", "--node-class", "h", "--amount", "gpu=1"],
        "expected a name without spaces around it",
    ),
}
OTHERS = {
    "nothing taken out": (["split", "c-1", "--into", "c-2"], "--amount: say how much is taken out"),
    "no name for a part": (["split", "c-1", "--amount", "gpu=1"], "Missing option '--into'."),
    "0 taken out": (
        ["split", "c-1", "--amount", "gpu=0", "--into", "c-2"],
        "--amount: gpu: expected an amount above 0",
    ),
    "nothing to merge": (["merge", "--into", "c-2"], "Missing argument 'NAME NAME...'."),
    "no new class": (["convert", "c-1", "--into", "c-2"], "Missing option '--to-class'."),
    "to nobody": (["transfer", "c-1"], "say to whom, by one of --to-tenant, --to-group, --to-user,"),
    "to two": (["transfer", "c-1", "--to-tenant", "a", "--to-user", "b"], "say to whom, by one of --to-tenant"),
    "to no service account": (
        ["transfer", "c-1", "--to-service-account", "ci"],
        "--to-service-account: expected a service account as <namespace>/<name>",
    ),
    "a part without a name": (
        ["transfer", "c-1", "--to-tenant", "a", "--amount", "gpu=1"],
        "--amount and --into go together: a part needs a name",
    ),
    "a name without a part": (
        ["transfer", "c-1", "--to-tenant", "a", "--into", "c-2"],
        "--amount and --into go together: a part needs a name",
    ),
    "no end and none": (["renew", "c-1", "--into", "c-2"], "give one of --for and --without-end"),
    "two ends": (
        ["renew", "c-1", "--into", "c-2", "--for", "1 year", "--without-end"],
        "give one of --for and --without-end",
    ),
    "no period": (
        ["renew", "c-1", "--into", "c-2", "--for", "1y"],
        "--for: '1y' is no period: expected one such as 1 year, 3 months or 90 days",
    ),
    "nobody": (["confirm"], "name one, or give --waiting"),
    "one and all": (["confirm", "c-1", "--waiting"], "name one, or give --waiting"),
    "a queue by force": (
        ["confirm", "--waiting", "--force", "x"],
        "--force goes with a NAME: a queue is served as far",
    ),
    "one again and again": (
        ["confirm", "c-1", "--every", "1m"],
        "--every: goes with --waiting, and without --dry-run",
    ),
    "no queue again and again": (["confirm", "--every", "1m"], "name one, or give --waiting"),
    "a queue tried out again and again": (
        ["confirm", "--waiting", "--every", "1m", "--dry-run"],
        "--every: goes with --waiting, and without --dry-run",
    ),
    "a queue by force again and again": (
        ["confirm", "--waiting", "--every", "1m", "--force", "x"],
        "--force goes with a NAME",
    ),
    "a queue too often": (["confirm", "--waiting", "--every", "9s"], "--every: expected 10s or more"),
    "a queue at no time": (["confirm", "--waiting", "--every", "5"], "--every: '5' is no duration"),
    "no reason": (["delete", "c-1", "--force", " "], "--force: expected a reason"),
    "no question": (["can-confirm"], "name one that waits, or describe one by --node-class, --amount and so on"),
    "two questions": (["can-confirm", "c-1", "--amount", "gpu=1"], "name one that waits, or describe one by"),
    "no period of a list": (
        ["list", "--ending-within", "0 days"],
        "--ending-within: '0 days' is no period: it is over",
    ),
}
MISUSES = {**{f"create: {name}": case for name, case in CREATES.items()}, **OTHERS}


@pytest.mark.parametrize(("words", "why"), MISUSES.values(), ids=MISUSES.keys())
def test_a_wrong_use_is_told_as_in_a_policy_and_nobody_is_asked(words: list[str], why: str) -> None:
    ended = in_process("commitments", *words)
    assert (ended.code, ended.out) == (2, "")
    assert f"Error: {why}" in ended.err


def test_what_is_changed_is_never_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AMOUNTS", "AMOUNT", "FORCE", "DRY_RUN", "WAITING", "NODE_CLASS", "HOLDING_USER"):
        monkeypatch.setenv(f"USERQUOTA_{name}", "1")
    assert "name one, or give --waiting" in in_process("commitments", "confirm").err
    assert "name one that waits" in in_process("commitments", "can-confirm").err


FIRST = Commitment(
    "c-1",
    tenant("research"),
    Pool("h100", "a"),
    {"gpu": 8 * NANOS, "requests.memory": 2**40 * NANOS},
    State.PLANNED,
    datetime(2026, 12, 1, tzinfo=UTC),
    datetime(2027, 12, 1, tzinfo=UTC),
)
SECOND = Commitment("c-2", user("alice"), Pool("h100"), {"gpu": NANOS})
EDITED = Edited(
    (Changed(What.CHANGED, FIRST, State.PENDING), Changed(What.DELETED, SECOND, State.CONFIRMED)), ("be careful",)
)
SERVED = Served(EDITED, (Waiting(FIRST, "more would be promised than nodes have"),))
TABLE = """\
CHANGE    NAME   HOLDER            POOL     STATE       AMOUNTS                     FROM                   UNTIL
changed   c-1    tenant/research   h100:a   pending     gpu=8,requests.memory=1Ti   2026-12-01T00:00:00Z   2027-12-01T00:00:00Z
deleted   c-2    user/alice        h100     confirmed   gpu=1                       -                      -
"""  # noqa: E501
WAITS = """\
WAITING   HOLDER            POOL     AMOUNTS                     FOR
c-1       tenant/research   h100:a   gpu=8,requests.memory=1Ti   more would be promised than nodes have
"""
STORED_NOTHING = "dry run: it would be accepted now, nothing was stored\n"


def test_a_table_says_what_became_of_each(capsys: pytest.CaptureFixture[str]) -> None:
    show_edited(EDITED, "table", dry_run=False)
    assert capsys.readouterr() == (TABLE, "Warning: be careful\n")
    show_edited(EDITED, "table", dry_run=True)
    said = capsys.readouterr()
    assert said.out.splitlines()[1].startswith("changed (dry run)   c-1 ")
    assert said.err == f"Warning: be careful\n{STORED_NOTHING}"
    show_served(SERVED, "table", dry_run=False)
    assert capsys.readouterr().out == f"{TABLE}\n{WAITS}"
    show_served(Served(waiting=SERVED.waiting), "table", dry_run=True)
    assert capsys.readouterr() == (WAITS, "")
    show_served(Served(), "table", dry_run=False)
    assert capsys.readouterr() == ("", "Nothing waits.\n")


def test_programs_get_the_form_of_the_view_and_names(capsys: pytest.CaptureFixture[str]) -> None:
    show_edited(EDITED, "name", dry_run=True)
    assert capsys.readouterr() == ("c-1\nc-2\n", f"Warning: be careful\n{STORED_NOTHING}")
    show_served(SERVED, "name", dry_run=False)
    assert capsys.readouterr().out == "c-1\nc-2\n"
    show_edited(EDITED, "json", dry_run=True)
    told = json.loads(capsys.readouterr().out)
    assert told["dryRun"] is True
    assert told["items"][0] == {
        "apiVersion": "view.userquota.dev/v1alpha1",
        "kind": "Commitment",
        "metadata": {"name": "c-1"},
        "spec": {
            "holder": "tenant/research",
            "nodeClass": "h100",
            "zone": "a",
            "amounts": {"gpu": "8", "requests.memory": "1Ti"},
            "from": "2026-12-01T00:00:00Z",
            "until": "2027-12-01T00:00:00Z",
        },
        "status": {"state": "pending"},
        "change": "changed",
    }
    assert told["items"][1]["spec"] == {"holder": "user/alice", "nodeClass": "h100", "amounts": {"gpu": "1"}}
    show_served(SERVED, "yaml", dry_run=False)
    told = yaml.safe_load(capsys.readouterr().out)
    assert [each["reason"] for each in told["waiting"]] == ["more would be promised than nodes have"]
    assert [each["change"] for each in told["items"]] == ["changed", "deleted"]
