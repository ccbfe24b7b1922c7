"""Quotas as tables, and who comes first: without a cluster."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click
import pytest

from tests.cli.canned import answering
from tests.cli.running import in_process
from tests.kubeconfigs import kubeconfig, written
from webhook.cli.printing import age, may_colour
from webhook.cli.quota_tables import show_holders, show_quotas, show_rules
from webhook.cli.top import ranked
from webhook.cli.view_client import Limit, Status, ViewError, holdings, statuses

SOURCE = {"mode": "enforce", "entry": "users.alice", "place": "userquota-policy/policy.yaml:4", "rule": "own entry"}
POOL = {"mode": "enforce", "entry": "groups.ml.pool", "place": "userquota-policy/policy.yaml:9", "rule": "pool"}


def own() -> dict[str, Any]:
    """A SelfQuota as the API server answers it."""
    hour_ago = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 3 * 3600 - 5))
    limits = [
        {"subject": "user/alice", "resource": "count/pods", "used": "2", "reserved": "0"},
        {"subject": "user/alice", "resource": "gpu", "hard": "2", "used": "3/7", "reserved": "0", "free": "1+4/7"}
        | {"over": "0", **SOURCE, "until": "2027-01-31T00:00:00Z"},
        {"subject": "user/alice", "resource": "requests.memory", "used": "64Mi", "reserved": "0"},
        {"subject": "group/ml", "scopes": "BestEffort", "resource": "pods", "hard": "16", "used": "20"}
        | {"reserved": "1", "free": "0", "over": "5", **POOL},
    ]
    cap = {"cap": "perPod", "resource": "requests.cpu", "hard": "2", **SOURCE}
    holder = {"resource": "pods", "namespace": "red", "name": "a", "created": hour_ago, "amounts": {"gpu": "3/7"}}
    return {"kind": "SelfQuota", "status": {"user": "alice", "limits": limits, "caps": [cap], "holders": [holder]}}


def test_the_mode_is_told_where_a_limit_does_not_refuse(capsys: pytest.CaptureFixture[str]) -> None:
    document = own()
    document["status"]["limits"][3]["mode"] = "warn"
    show_quotas(statuses(document), wide=False)
    assert [line.split()[-1] for line in capsys.readouterr().out.splitlines()[:4]] == ["MODE", "enforce", "-", "warn"]

    document["status"]["limits"] = document["status"]["limits"][:3]
    show_quotas(statuses(document), wide=False)
    assert "MODE" not in capsys.readouterr().out


def test_limits_caps_and_objects_are_three_tables(capsys: pytest.CaptureFixture[str]) -> None:
    show_quotas(statuses(own()), wide=False)

    assert capsys.readouterr().out == (
        "SUBJECT                 RESOURCE          USED   RESERVED   HARD   FREE    OVER\n"
        "user/alice              gpu               3/7    0          2      1+4/7   0\n"
        "user/alice              requests.memory   64Mi   0          -      -       -\n"
        "group/ml [BestEffort]   pods              20     1          16     0       5\n"
        "\n"
        "CAP      RESOURCE       HARD\n"
        "perPod   requests.cpu   2\n"
        "\n"
        "HELD BY   NAMESPACE   NAME   AGE   AMOUNTS\n"
        "pods      red         a      3h    gpu=3/7\n"
    )


def show_in_colour(document: dict[str, Any]) -> None:
    """Print as on a terminal: elsewhere click takes colours out."""
    with click.Context(click.Command("get")) as context:
        context.color = True
        show_quotas(statuses(document), wide=False, with_bars=True)


def test_on_a_terminal_each_limit_shows_how_full_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    show_in_colour(own())

    heads, gpu, unlimited, pool = capsys.readouterr().out.splitlines()[:4]
    assert heads.endswith("OVER   FULL")
    assert gpu.endswith("\x1b[32m██░░░░░░░░\x1b[0m 21%")
    assert unlimited.endswith("-       -")
    assert pool.endswith("\x1b[31m██████████\x1b[0m 131%")


def test_a_limit_of_0_that_nothing_exceeds_has_no_bar(capsys: pytest.CaptureFixture[str]) -> None:
    limit = {
        "subject": "user/a",
        "resource": "gpu",
        "hard": "0",
        "used": "0",
        "reserved": "0",
        "free": "0",
        "over": "0",
    }
    show_in_colour({"status": {"limits": [limit]}})
    assert capsys.readouterr().out.splitlines()[1].endswith("0      0      0")


@pytest.mark.parametrize(
    ("used", "bar"), [("12799m", "\x1b[32m███████░░░\x1b[0m 79%"), ("12800m", "\x1b[33m████████░░\x1b[0m 80%")]
)
def test_a_limit_that_is_nearly_full_is_yellow(capsys: pytest.CaptureFixture[str], used: str, bar: str) -> None:
    limit = {"subject": "user/a", "resource": "requests.cpu", "hard": "16", "used": used, "reserved": "0"}
    show_in_colour({"status": {"limits": [limit]}})
    assert capsys.readouterr().out.splitlines()[1].endswith(bar)


def test_without_a_terminal_nothing_is_in_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not may_colour()
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert may_colour()
    monkeypatch.setenv("NO_COLOR", "1")
    assert not may_colour()


def test_wide_adds_where_each_number_stands(capsys: pytest.CaptureFixture[str]) -> None:
    show_quotas(statuses(own()), wide=True)

    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[-3:] == ["MODE", "ENTRY", "PLACE"]
    assert lines[1].split() == ["user/alice", "count/pods", "2", "0", *"------"]
    assert lines[2].split()[-3:] == ["enforce", "users.alice", "userquota-policy/policy.yaml:4"]


def test_rules_name_the_entry_its_place_and_its_end(capsys: pytest.CaptureFixture[str]) -> None:
    show_rules(statuses(own()))

    place = "userquota-policy/policy.yaml"
    assert capsys.readouterr().out == (
        f"SUBJECT                 RESOURCE       HARD   RULE        ENTRY            PLACE{' ' * 28}UNTIL\n"
        f"user/alice              gpu            2      own entry   users.alice      {place}:4   2027-01-31T00:00:00Z\n"
        f"group/ml [BestEffort]   pods           16     pool        groups.ml.pool   {place}:9   -\n"
        f"each (perPod)           requests.cpu   2      own entry   users.alice      {place}:4   -\n"
    )


MEANINGS = """\

RESOURCE       DISPLAY NAME   UNIT    DESCRIPTION
gpu            NVIDIA cards   GPUs    Whole cards
requests.cpu   -              cores   -
"""


def test_rules_and_wide_tell_what_the_resources_are(capsys: pytest.CaptureFixture[str]) -> None:
    document = own()
    gpu = {"displayName": "NVIDIA cards", "description": "Whole cards", "unit": "GPUs"}
    document["status"]["resources"] = {"gpu": gpu, "requests.cpu": {"unit": "cores"}}

    show_rules(statuses(document))
    assert capsys.readouterr().out.endswith(MEANINGS)
    show_quotas(statuses(document), wide=True)
    assert capsys.readouterr().out.endswith(MEANINGS)
    show_quotas(statuses(document), wide=False)
    assert "NVIDIA" not in capsys.readouterr().out


def test_nothing_is_said_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    show_quotas([Status()], wide=False)
    show_rules([Status()])

    assert capsys.readouterr() == ("", "No limits found.\nNo limits found.\n")


def test_an_exemption_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    show_quotas([Status(exempt="user alice: she repairs it")], wide=False)

    assert capsys.readouterr().out == "\nexempt, no limit refuses: user alice: she repairs it\n"


def test_objects_are_shown_with_what_they_hold(capsys: pytest.CaptureFixture[str]) -> None:
    status = {"owner": "alice", "resource": "pods", "namespace": "red", "name": "a", "created": None}
    found = holdings({"items": [{"status": {**status, "amounts": {"count/pods": "1", "pods": "1"}}}]})

    show_holders(found, "pods", wide=False)
    show_holders(found, "pods", wide=True)

    assert capsys.readouterr().out.splitlines() == [
        "OWNER   RESOURCE   NAMESPACE   NAME   AGE   PODS",
        "alice   pods       red         a      -     1",
        "OWNER   RESOURCE   NAMESPACE   NAME   AGE   AMOUNTS",
        "alice   pods       red         a      -     pods=1",
    ]


def limit(subject: str, used: str, *, resource: str = "requests.memory", reserved: str = "0", **others: str) -> Limit:
    return Limit(subject, resource, used, reserved, **others)


def test_who_holds_most_comes_first_whatever_the_unit() -> None:
    rows = (
        limit("user/a", "900Mi"),
        limit("user/b", "1Gi", hard="2Gi"),
        limit("user/b", "1Gi", hard="4Gi"),
        limit("serviceaccounts/ci", "512Mi", reserved="1Gi"),
        limit("user/none", "0"),
        limit("user/b", "9Gi", scopes="BestEffort"),
        limit("user/b", "9", resource="pods"),
        limit("namespace/red", "9Gi"),
    )

    found = ranked([Status(limits=rows)], "requests.memory", ("user/", "serviceaccounts/"))

    assert [(each.subject, each.hard) for each in found] == [
        ("serviceaccounts/ci", None),
        ("user/b", "2Gi"),
        ("user/a", None),
    ]


def test_top_lists_the_oldest_objects_and_tenants(tmp_path: Path) -> None:
    base = "/apis/view.userquota.dev/v1alpha1"
    tenant = {"subject": "tenant/research", "resource": "requests.cpu", "used": "3", "reserved": "1", "hard": "8"}
    user = {"subject": "user/alice", "resource": "requests.cpu", "used": "9", "reserved": "0"}
    old = {"owner": "alice", "resource": "pods", "namespace": "red", "name": "a", "amounts": {"pods": "1", "gpu": "2"}}
    with answering(tmp_path) as cluster:
        cluster.has(f"{base}/holders", {"status": old})
        cluster.has(f"{base}/quotas", {"status": {"limits": [user]}}, {"status": {"limits": [tenant]}})
        oldest = in_process("top", "--sort", "age", "-n", "red", "--kubeconfig", str(cluster.config))
        tenants = in_process("top", "--by", "tenant", "--kubeconfig", str(cluster.config))
        words = ("-o", "name", "--kubeconfig", str(cluster.config))
        named = [in_process("top", *words).out, in_process("top", "--by", "tenant", *words).out]

    assert named == ["pods/red/a\n", "tenant/research\n"]
    assert "sortBy=age&" in cluster.asked[0]
    assert [line.split() for line in oldest.out.splitlines()] == [
        ["OWNER", "RESOURCE", "NAMESPACE", "NAME", "AGE", "AMOUNTS"],
        ["alice", "pods", "red", "a", "-", "pods=1,gpu=2"],
    ]
    assert [line.split()[:5] for line in tenants.out.splitlines()[1:]] == [
        ["tenant/research", "requests.cpu", "3", "1", "8"]
    ]


def test_shares_of_devices_are_compared_exactly() -> None:
    rows = [limit(f"user/{used}", used, resource="gpu") for used in ("2/7", "2+1/7", "2", "3/10")]

    found = ranked([Status(limits=tuple(rows))], "gpu", ("user/",))

    assert [each.used for each in found] == ["2+1/7", "2", "3/10", "2/7"]


AGES = {0: "0s", -3: "0s", 119: "119s", 120: "2m", 7199: "119m", 7200: "2h", 172_799: "47h", 172_800: "2d"}


@pytest.mark.parametrize(("seconds", "text"), AGES.items())
def test_ages_are_short(seconds: int, text: str) -> None:
    assert age(seconds) == text


def test_an_answer_of_another_version_is_one_line() -> None:
    with pytest.raises(ViewError, match=r"^the answer does not fit this version of userquota: "):
        statuses({"status": {"limits": [{"subject": 7}]}})


WRONG = {
    "get --drift --unattributed": "give one of --drift and --unattributed",
    "get --drift -A": "--drift and --unattributed go without allocations, SUBJECT, -A, -w, --as and -o wide or name",
    "get allocations --unattributed": (
        "--drift and --unattributed go without allocations, SUBJECT, -A, -w, --as and -o wide or name"
    ),
    "get allocations user/alice -A": "give one of SUBJECT and -A",
    "get allocations user/alice user/bob": "give one SUBJECT, not user/alice user/bob",
    "get allocations alice": "alice is no subject: did you mean user/alice?",
    "get allocations -w -o yaml": "-w prints tables: leave -o out, or give -o wide",
    "get user/alice user/bob": "give one SUBJECT, not user/alice user/bob",
    "get user/alice --resource pods": "--owner, --resource and --selector go with allocations",
    "get allocations --owner ": "--owner: expected a name",
    "get allocations --selector ": "--selector: expected tags, such as team=ml",
    "get cluster -l team=ml": "--owner, --resource and --selector go with allocations",
    "get --drift --owner alice": "--owner, --resource and --selector go with allocations",
    "get --owner alice": "--owner, --resource and --selector go with allocations",
    "get user/alice -n red": "give one of SUBJECT, -A and -n",
    "get -A -n red": "give one of SUBJECT, -A and -n",
    "get -w -o json": "-w prints tables: leave -o out, or give -o wide",
    "get --as-group ml": "--as-group goes with --as",
    "get --as ": "--as: expected a name",
    "top --sort cpus": "--sort: there is no resource cpus",
    "top --by user user/alice": "SUBJECT and -n go with --by object",
    "top --by tenant --sort age": "--sort age goes with --by object",
    "top user/alice -n red": "give one of SUBJECT and -n",
    "explain usr/alice": "usr/alice is no subject: did you mean user/alice?",
    "explain pods/": (
        "pods/ is no subject: expected user/NAME, group/NAME, tenant/NAME, namespace/NAME, serviceaccounts/NAME "
        "or cluster"
    ),
    "explain user/alice -n red": "give one of SUBJECT and -n",
}


@pytest.mark.parametrize(("words", "told"), WRONG.items())
def test_wrong_use_is_told(words: str, told: str) -> None:
    ended = in_process(*words.split(" "))

    assert (ended.code, ended.out) == (2, "")
    assert ended.err.endswith(f"Error: {told}\n")


@pytest.mark.parametrize("command", ["get", "top", "explain"])
def test_a_cluster_that_does_not_answer_is_one_line(tmp_path: Path, command: str) -> None:
    ended = in_process(command, "--kubeconfig", str(written(kubeconfig(), tmp_path)))

    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert "127.0.0.1:1" in ended.err
