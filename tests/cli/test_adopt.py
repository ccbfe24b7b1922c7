"""`userquota adopt`: what it takes, and how it tells what became of each object. tests/cluster has what it does."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.cli.running import userquota
from tests.kubeconfigs import kubeconfig, written
from webhook.attribution.handover import Owned
from webhook.cli.adopt import show_outcome
from webhook.kinds.pods import PODS
from webhook.kinds.registry import KINDS
from webhook.kube.owner_changes import NewOwner
from webhook.quota.objects import ObjectMeta
from webhook.quota.subject import Payer
from webhook.wiring.handover import AllOf, Handover, Outcome, Result, State

KNOWN = (
    "cronjobs.batch, daemonsets.apps, deployments.apps, jobs.batch, persistentvolumeclaims, pods, replicasets.apps, "
    "replicationcontrollers, resourceclaims.resource.k8s.io, statefulsets.apps"
)
MISUSES = {
    "nothing": ([], "name one object as KIND/NAME, or an owner with --all-of"),
    "both": (["pod/a", "--all-of", "carol"], "name one object as KIND/NAME, or an owner with --all-of"),
    "no name": (["pod/"], "pod/: expected KIND/NAME, such as deployment/web"),
    "no kind": (["web"], "web: expected KIND/NAME, such as deployment/web"),
    "nobody's things": (["--all-of", ""], "an owner has a name"),
    "to the owner": (["--all-of", "bob"], "bob pays for that already"),
    "one object everywhere": (["pod/a", "-A"], "-A goes with --all-of, and without -n"),
    "a namespace and all": (["--all-of", "carol", "-A", "-n", "x"], "-A goes with --all-of, and without -n"),
    "groups that are no list": (["pod/a", "--groups", "ml"], "--groups takes a JSON list of texts, such as '[\"ml\"]'"),
    "groups that are no texts": (
        ["pod/a", "--groups", "[1]"],
        "--groups takes a JSON list of texts, such as '[\"ml\"]'",
    ),
    "a kind without an owner": (
        ["service/a"],
        f"service is no kind that has an owner; these have, and sessions: {KNOWN}",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize(("words", "message"), MISUSES.values(), ids=MISUSES.keys())
def test_a_wrong_use_is_told(words: list[str], message: str, tmp_path: Path) -> None:
    ended = userquota("adopt", *words, "--to", "bob", folder=tmp_path)

    assert (ended.code, ended.out) == (2, "")
    assert ended.err.endswith(f"userquota: {message}\n")


@pytest.mark.slow
def test_a_cluster_that_does_not_answer_is_one_line(tmp_path: Path) -> None:
    config = written(kubeconfig(), tmp_path)

    ended = userquota("adopt", "pod/a", "--to", "bob", "--kubeconfig", config, folder=tmp_path)

    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert ended.err.startswith("userquota: the webhook configurations could not be read: ")


@pytest.mark.parametrize(
    ("name", "resource"),
    [
        ("deployment", "deployments.apps"),
        ("deployments", "deployments.apps"),
        ("Deployment", "deployments.apps"),
        ("deployments.apps", "deployments.apps"),
        ("deployment.apps", "deployments.apps"),
        ("pod", "pods"),
        ("resourceclaims.resource.k8s.io", "resourceclaims.resource.k8s.io"),
        ("pvc", None),
        ("deployments.example.com", None),
        ("binding", None),
        ("", None),
    ],
)
def test_a_kind_has_the_names_that_kubectl_takes(name: str, resource: str | None) -> None:
    found = KINDS.of_name(name)

    assert (None if found is None else found.resource) == resource


WANTED = Handover(target=AllOf("alice"), to=NewOwner("bob"))


def result(state: State, text: str = "") -> Result:
    return Result(Owned(PODS, ObjectMeta("a", namespace="red", uid="u"), Payer("alice")), state, text)


ROWS = {
    "moved": (result(State.MOVED), "pods       red         a      alice   bob   moved"),
    "a remark": (result(State.MOVED, "why"), "pods       red         a      alice   bob   moved: why"),
    "left": (result(State.LEFT, "dave"), "pods       red         a      alice   dave   left: owner dave"),
    "stays": (result(State.STAYS, "full"), "pods       red         a      alice   bob   stays with bob: full"),
    "refused": (result(State.REFUSED, "full"), "pods       red         a      alice   bob   refused: full"),
    "handed back": (result(State.HANDED_BACK), "pods       red         a      alice   bob   handed back"),
}


@pytest.mark.parametrize(("shown", "row"), ROWS.values(), ids=ROWS.keys())
def test_people_get_a_row_for_each_object(shown: Result, row: str, capsys: pytest.CaptureFixture[str]) -> None:
    show_outcome(Outcome((shown,)), WANTED, "table")

    assert capsys.readouterr().out.splitlines()[1] == row


def test_programs_get_a_document(capsys: pytest.CaptureFixture[str]) -> None:
    show_outcome(Outcome((result(State.REFUSED, "full"), result(State.LEFT, "dave"))), WANTED, "yaml")

    item = {"resource": "pods", "namespace": "red", "name": "a", "uid": "u", "from": "alice"}
    assert yaml.safe_load(capsys.readouterr().out)["items"] == [
        {**item, "to": "bob", "state": "refused", "reason": "full"},
        {**item, "to": "dave", "state": "left"},
    ]


def test_nothing_to_do_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    show_outcome(Outcome(), WANTED, "table")

    assert tuple(capsys.readouterr()) == ("", "nothing to do\n")
