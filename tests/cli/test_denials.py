"""`userquota denials`: the Events on a real API server, by the rights of whoever asks."""

from __future__ import annotations

import json
import re
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from localcluster.controlplane import ControlPlane
from tests.cli.running import Ended, in_process
from tests.kubeconfigs import kubeconfig, written
from webhook.cli.denials import NOTE, REASONS

LONG = "exceeded quota: defaults.user, requested: pods=1, used: pods=2, limited: pods=2, reserved: pods=0, free: pods=0"


def write(
    cluster: ControlPlane,
    namespace: str,
    name: str,
    *,
    ago: int,
    reason: str = "QuotaExceeded",
    count: int = 7,
    owner: str = "alice",
    label: str = "denial",
    message: str = LONG,
) -> None:
    """Store an Event as userquota writes it, which was last counted some seconds *ago*."""
    seen = datetime.fromtimestamp(time.time() - ago, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"userquota.{name}",
            "labels": {"userquota.dev/event": label},
            "annotations": {"userquota.dev/charged-to": owner} if owner else {},
        },
        "involvedObject": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name, "namespace": namespace},
        "type": "Warning",
        "reason": reason,
        "message": message,
        "source": {"component": "userquota"},
        "firstTimestamp": seen,
        "lastTimestamp": seen,
        "count": count,
    }
    cluster.kubectl("create", "-n", namespace, "-f", "-", stdin=json.dumps(event))


@pytest.fixture
def told(control_plane: ControlPlane, namespace: str) -> str:
    """A namespace with Events of three denials, and one that is none."""
    write(control_plane, namespace, "old", ago=7200, reason="NeverFits", owner="")
    write(control_plane, namespace, "new", ago=45, reason="NeverFits", message="larger than \x1b[31mquota\n")
    write(control_plane, namespace, "web", ago=600)
    write(control_plane, namespace, "policy", ago=1, label="other")
    return namespace


def denials(cluster: ControlPlane, *words: str, user: str = "admin") -> Ended:
    return in_process("denials", "--kubeconfig", str(cluster.kubeconfig(user)), *words)


def names(ended: Ended) -> list[str]:
    assert ended.code == 0, ended
    return [each["object"]["name"] for each in json.loads(ended.out)["items"]]


def test_the_newest_come_first_in_columns_with_messages_cut(control_plane: ControlPlane, told: str) -> None:
    ended = denials(control_plane, "-n", told, user="alice")

    heads, *lines = [re.split(r" {3,}", line) for line in ended.out.splitlines()]
    assert heads == ["LAST SEEN", "COUNT", "NAMESPACE", "OBJECT", "OWNER", "REASON", "MESSAGE"]
    assert lines[1] == ["10m", "7", told, "deployment/web", "alice", "QuotaExceeded", f"{LONG[:77]}..."]
    assert [line[3] for line in lines] == ["deployment/new", "deployment/web", "deployment/old"]
    assert lines[2][4] == "-"
    assert lines[0][6] == "larger than  [31mquota"
    assert (ended.code, ended.err) == (0, f"{NOTE}\n")


def test_wide_has_the_whole_message(control_plane: ControlPlane, told: str) -> None:
    assert f"   {LONG}\n" in denials(control_plane, "-n", told, "-o", "wide").out


def test_what_is_listed_is_bounded_by_time_and_reason(control_plane: ControlPlane, told: str) -> None:
    asked = ("-n", told, "-o", "json")

    assert names(denials(control_plane, *asked)) == ["new", "web", "old"]
    assert names(denials(control_plane, *asked, "--since", "1h")) == ["new", "web"]
    assert names(denials(control_plane, *asked, "--reason", "neverfits")) == ["new", "old"]
    assert names(denials(control_plane, *asked, "--reason", "NeverFits", "--reason", "QuotaExceeded")) == [
        "new",
        "web",
        "old",
    ]
    assert names(denials(control_plane, *asked, "--since", "5m", "--reason", "QuotaExceeded")) == []
    everywhere = json.loads(denials(control_plane, "-A", "-o", "json").out)["items"]
    assert [each["object"]["name"] for each in everywhere if each["namespace"] == told] == ["new", "web", "old"]


def test_programs_get_every_field(control_plane: ControlPlane, told: str) -> None:
    [_, web, old] = json.loads(denials(control_plane, "-n", told, "-o", "json").out)["items"]

    assert web.pop("firstSeen") == web.pop("lastSeen")
    assert web == {
        "namespace": told,
        "object": {"kind": "Deployment", "name": "web"},
        "owner": "alice",
        "reason": "QuotaExceeded",
        "message": LONG,
        "count": 7,
    }
    assert old["owner"] is None
    assert "reason: QuotaExceeded\n" in denials(control_plane, "-n", told, "-o", "yaml").out


def test_more_than_a_page_is_listed(control_plane: ControlPlane, namespace: str) -> None:
    listed = [
        {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"userquota.{number}", "labels": {"userquota.dev/event": "denial"}},
            "involvedObject": {"kind": "Deployment", "name": f"web-{number}", "namespace": namespace},
        }
        for number in range(501)
    ]
    manifest = json.dumps({"apiVersion": "v1", "kind": "List", "items": listed})
    control_plane.kubectl("create", "-n", namespace, "-f", "-", stdin=manifest)

    ended = denials(control_plane, "-n", namespace, "-o", "json")

    assert len(names(ended)) == 501
    assert json.loads(ended.out)["items"][0]["lastSeen"] is None
    assert denials(control_plane, "-n", namespace).out.splitlines()[1].startswith("-  ")


def test_where_nothing_was_refused_that_is_said(control_plane: ControlPlane, namespace: str) -> None:
    assert denials(control_plane, "-n", namespace) == Ended(0, "", f"No refusals found.\n{NOTE}\n")
    assert "an hour by default" in NOTE


def test_a_missing_right_is_one_line(control_plane: ControlPlane, told: str) -> None:
    here = denials(control_plane, "-n", told, "--as", "stranger")
    everywhere = denials(control_plane, "-A", "--as", "stranger")

    assert (here.code, here.out, here.err.count("\n")) == (2, "", 1)
    assert here.err.startswith(f"userquota: you may not list Events in namespace {told}: ")
    assert 'User "stranger" cannot list resource "events"' in here.err
    assert everywhere.err.startswith("userquota: you may not list Events in all namespaces: ")


def test_a_cluster_that_does_not_answer_is_one_line(tmp_path: Path) -> None:
    ended = in_process("denials", "--kubeconfig", str(written(kubeconfig(), tmp_path)))

    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert ended.err.startswith("userquota: the cluster cannot be reached: ")
    assert "127.0.0.1:1" in ended.err


WRONG = {
    "-n red -A": "give one of -n and -A",
    "--since soon": "--since: 'soon' is no duration: expected one such as 8h or 1h30m",
}


@pytest.mark.parametrize(("words", "said"), WRONG.items())
def test_wrong_use_is_told(words: str, said: str) -> None:
    ended = in_process("denials", *words.split(" "))

    assert (ended.code, ended.out) == (2, "")
    assert ended.err.endswith(f"Error: {said}\n")


def test_every_reason_that_docs_tell_of_can_be_asked_for() -> None:
    text = (Path(__file__).parents[2] / "docs" / "messages.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \|", text.partition("## Events")[2], re.MULTILINE)

    assert tuple(rows) == REASONS
