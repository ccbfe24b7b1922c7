"""`userquota check` in a cluster: who holds what is taken of the limits that refuse, with canned answers of the API."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.canned import Cluster, answering
from tests.cli.running import Ended, in_process

VIEW = "/apis/view.userquota.dev/v1alpha1"
MANIFEST = (
    "apiVersion: v1\nkind: Pod\nmetadata: {name: new}\nspec: {containers: [{name: main, image: example/x, "
    "resources: {requests: {cpu: 2, memory: 1Gi}}}]}\n"
)
FORBIDDEN = {"kind": "Status", "status": "Failure", "reason": "Forbidden", "message": "you may not", "code": 403}


def room(subject: str, *, exceeded: bool, **others: str) -> dict[str, Any]:
    limit = {"entry": "users.alice", "place": "p:1", "subject": subject, "resource": "requests.cpu", "mode": "enforce"}
    amounts = {"hard": "12", "requested": "2", "used": "11", "reserved": "0", "free": "1"}
    return {**limit, **amounts, "exceeded": exceeded, "tightest": exceeded, **others}


def checked(*rows: dict[str, Any], verdict: str = "does not fit") -> tuple[int, dict[str, Any]]:
    item = {"apiVersion": "v1", "kind": "Pod", "namespace": "red", "name": "new", "verdict": verdict, "limits": rows}
    status = {"fits": verdict == "fits", "items": [item], "adds": {}, "limits": [], "notes": []}
    return 201, {"status": status}


def used(subject: str, amount: str, **others: str) -> dict[str, Any]:
    return {"subject": subject, "resource": "requests.cpu", "used": amount, "reserved": "500m", **others}


def pod(name: str, cpu: str, owner: str = "alice") -> dict[str, Any]:
    key = {"resource": "pods", "namespace": "red", "name": name, "owner": owner}
    return {**key, "created": "2026-01-01T00:00:00Z", "amounts": {"requests.cpu": cpu, "pods": "1"}}


def allocated(name: str, cpu: str, *charged: str) -> dict[str, Any]:
    found = pod(name, cpu)
    return {**found, "committed": found["amounts"], "state": "used", "chargedTo": ["user/alice", *charged]}


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Alice may see only her own: six pods of hers, of which one counts in no group."""
    own = [allocated(f"small-{number}", "250m", "group/ml") for number in range(4)]
    own += [allocated("large", "4", "group/ml"), allocated("lonely", "3")]
    limits = [used("user/alice", "8"), used("group/ml", "11"), used("group/ml", "1", scopes="BestEffort")]
    with answering(tmp_path) as cluster:
        cluster.answers |= {
            f"{VIEW}/quotachecks": checked(
                room("user/alice", exceeded=False),
                room("group/ml", exceeded=True),
                room("one object", exceeded=True),
                room("cluster", exceeded=True, mode="warn"),
            ),
            f"{VIEW}/selfallocations": (201, {"status": {"allocations": own}}),
            f"{VIEW}/selfquotas": (201, {"status": {"limits": limits}}),
            f"{VIEW}/holders": (403, FORBIDDEN),
        }
        yield cluster


def check(cluster: Cluster, *options: str) -> Ended:
    file = cluster.config.with_name("new.yaml")
    file.write_text(MANIFEST)
    return in_process("check", "-f", str(file), "--kubeconfig", str(cluster.config), *options)


def held(ended: Ended) -> list[list[str]]:
    """Return the rows of the section without the age; a dash for an empty cell."""
    _, _, section = ended.out.partition("# who holds what is taken\n")
    heads, *rows = section.split("\n\n", 1)[0].splitlines() if section else ["WHOM"]
    assert heads.startswith("WHOM")
    return [row.split()[:6] for row in rows]


def test_whoever_may_see_only_their_own_sees_those_and_what_the_rest_comes_to(cluster: Cluster) -> None:
    ended = check(cluster)
    assert ended.code == 1, ended.err
    assert held(ended) == [
        ["group/ml", "requests.cpu", "4", "alice", "pods", "red/large"],
        *(["group/ml", "requests.cpu", "250m", "alice", "pods", f"red/small-{number}"] for number in range(4)),
        ["group/ml", "requests.cpu", "6500m", "further", "objects"],
    ]


def test_whoever_may_see_others_sees_whose_objects_they_are(cluster: Cluster) -> None:
    cluster.answers[f"{VIEW}/holders"] = {"items": [{"status": pod("theirs", "6", "carol")}]}
    assert held(check(cluster)) == [
        ["group/ml", "requests.cpu", "6", "carol", "pods", "red/theirs"],
        ["group/ml", "requests.cpu", "5500m", "further", "objects"],
    ]
    assert f"{VIEW}/holders?sortBy=requests.cpu&limit=5&fieldSelector=spec.subject%3Dgroup%2Fml" in cluster.asked


def test_by_scopes_only_what_counts_there_is_told_of_ones_own(cluster: Cluster) -> None:
    cluster.answers[f"{VIEW}/quotachecks"] = checked(room("[BestEffort] group/ml", exceeded=True))
    assert held(check(cluster)) == [["[BestEffort]", "group/ml", "requests.cpu", "1500m", "further", "objects"]]


def test_a_program_gets_exact_amounts(cluster: Cluster) -> None:
    document = json.loads(check(cluster, "-o", "json").out)
    first, *_, last = document["holders"]
    assert first == {
        "subject": "group/ml",
        "resource": "requests.cpu",
        "amount": "4",
        "owner": "alice",
        "kind": "pods",
        "namespace": "red",
        "name": "large",
        "created": "2026-01-01T00:00:00Z",
    }
    assert (last["name"], last["amount"]) == ("", "6500m")


def test_nothing_is_asked_if_all_fits(cluster: Cluster) -> None:
    cluster.answers[f"{VIEW}/quotachecks"] = checked(room("user/alice", exceeded=False), verdict="fits")
    ended = check(cluster)
    assert (ended.code, held(ended)) == (0, [])
    assert cluster.asked == [f"{VIEW}/quotachecks"]


def test_where_it_cannot_be_read_the_verdict_stands(cluster: Cluster) -> None:
    del cluster.answers[f"{VIEW}/selfallocations"]
    ended = check(cluster)
    assert (ended.code, held(ended)) == (1, [])
    assert ended.err.startswith("note: who holds what is taken is not known: ")


def test_an_older_webhook_tells_nothing_of_it(cluster: Cluster) -> None:
    older = allocated("large", "4")
    del older["chargedTo"]
    cluster.answers[f"{VIEW}/selfallocations"] = (201, {"status": {"allocations": [older]}})
    ended = check(cluster)
    assert (ended.code, held(ended), ended.err) == (1, [], "")
