"""Allocations as tables, and what is asked for: without a cluster."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any, cast

import pytest

from webhook.cli.allocations import Wanted, read, show
from webhook.cli.view_client import Document, ViewClient, ViewError
from webhook.kube.api import ApiError, KubernetesApi, NotFoundError

BASE = "/apis/view.userquota.dev/v1alpha1"


def row(name: str, state: str, committed: Mapping[str, str], reserved: Mapping[str, str], **others: Any) -> Any:
    key = {"resource": "pods", "namespace": "red", "name": name, "uid": f"u-{name}", "owner": "alice"}
    return {**key, "state": state, "created": None, "committed": committed, "reserved": reserved, **others}


def own() -> Document:
    """A SelfAllocation as the API server answers it."""
    hour_ago = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 3 * 3600 - 5))
    rows = [
        row("a", "growing", {"count/pods": "1", "pods": "1", "limits.cpu": "1"}, {"limits.cpu": "500m"})
        | {"created": hour_ago},
        row("b", "in flight", {}, {"count/pods": "1", "gpu": "3/7", "pods": "1"}, uid="", otherOwners=["bob"]),
    ]
    sums = [
        {"resource": "count/pods", "committed": "1", "reserved": "1"},
        {"resource": "gpu", "committed": "0", "reserved": "3/7"},
        {"resource": "limits.cpu", "committed": "1", "reserved": "500m"},
        {"resource": "pods", "committed": "1", "reserved": "1"},
    ]
    return {"kind": "SelfAllocation", "status": {"user": "alice", "allocations": rows, "sums": sums}}


def listed() -> Document:
    """The same as an AllocationList."""
    status = own()["status"]
    return {"items": [{"status": each} for each in status["allocations"]], "sums": status["sums"], "metadata": {}}


@pytest.mark.parametrize("document", [own(), listed()], ids=["ones own", "a list"])
def test_each_is_a_row_and_the_sums_follow(document: Document, capsys: pytest.CaptureFixture[str]) -> None:
    show(document, "table")

    assert capsys.readouterr().out == (
        "RESOURCE   NAMESPACE   NAME   OWNER       STATE       AGE   COMMITTED             RESERVED\n"
        "pods       red         a      alice       growing     3h    pods=1,limits.cpu=1   limits.cpu=500m\n"
        "pods       red         b      alice,bob   in flight   -     -                     gpu=3/7,pods=1\n"
        "\n"
        "gpu          used 3/7 = 0 committed + 3/7 reserved\n"
        "limits.cpu   used 1500m = 1 committed + 500m reserved\n"
        "pods         used 2 = 1 committed + 1 reserved\n"
    )


def test_wide_adds_uids_and_objects_by_number(capsys: pytest.CaptureFixture[str]) -> None:
    show(own(), "wide")

    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[-2:] for line in lines[:3]] == [["UID", "TAGS"], ["u-a", "-"], ["-", "-"]]
    assert "count/pods=1,pods=1," in lines[1]
    assert lines[4] == "count/pods   used 2 = 1 committed + 1 reserved"


def test_wide_tells_tags(capsys: pytest.CaptureFixture[str]) -> None:
    tags = {"example.com/team": "ml", "cost-center": "7", "app": ""}
    show({"status": {"allocations": [row("a", "used", {"pods": "1"}, {}, tags=tags)]}}, "wide")
    assert capsys.readouterr().out.splitlines()[1].endswith("u-a   example.com/team=ml,cost-center=7,app=")

    show({"status": {"allocations": [row("a", "used", {"pods": "1"}, {}, tags=tags)]}}, "table")
    assert "team" not in capsys.readouterr().out


def test_what_is_counted_by_number_alone_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """Pods that have ended cost nothing else."""
    rows = [row("a", "used", {"count/pods": "1", "pods": "1"}, {}), row("ended", "used", {"count/pods": "1"}, {})]
    sums = [{"resource": name, "committed": "2", "reserved": "0"} for name in ("count/pods", "pods")]
    show({"status": {"allocations": rows[:1], "sums": sums}}, "table")
    assert "count/pods" not in capsys.readouterr().out

    show({"status": {"allocations": rows, "sums": sums}}, "table")
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[6] for line in lines[1:3]] == ["pods=1", "count/pods=1"]
    assert [line[0] for line in lines[4:]] == ["count/pods", "pods"]


def test_names_are_one_a_line_and_nothing_is_told_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    show(own(), "name")
    assert capsys.readouterr().out == "pods/red/a\npods/red/b\n"

    show({"items": [], "sums": []}, "table")
    assert capsys.readouterr() == ("", "No allocations found.\n")


def test_json_is_what_was_answered(capsys: pytest.CaptureFixture[str]) -> None:
    show(own(), "json")

    assert json.loads(capsys.readouterr().out)["kind"] == "SelfAllocation"


def test_an_answer_of_another_version_is_one_line() -> None:
    with pytest.raises(ViewError, match=r"^the answer does not fit this version of userquota: "):
        show({"items": [{"status": {"resource": 7}}]}, "table")


class Api:
    """Answers in two pages of one allocation each, and notes what was asked."""

    def __init__(self, *, is_older: bool = False) -> None:
        self.asked: list[tuple[str, Any]] = []
        self.is_older = is_older

    async def get(self, path: str, *, query: Mapping[str, str]) -> bytes:
        self.asked.append((path, dict(query)))
        if "continue" in query:
            return json.dumps({"kind": "AllocationList", "metadata": {}, "items": [2]}).encode()
        return json.dumps({"metadata": {"continue": "pods/red/a"}, "items": [1], "sums": ["s"]}).encode()

    async def create(self, path: str, body: bytes) -> bytes:
        spec = json.loads(body)["spec"]
        self.asked.append((path, spec))
        echoed = {} if self.is_older else {"spec": spec}
        if "continue" in spec:
            return json.dumps({**echoed, "status": {"allocations": [2]}}).encode()
        status = {"allocations": [1], "sums": ["s"], "continue": "pods/red/a"}
        return json.dumps({**echoed, "status": status}).encode()


async def asked(wanted: Wanted) -> tuple[list[tuple[str, Any]], Document]:
    api = Api()
    document = await read(ViewClient(cast("KubernetesApi", api)), wanted)
    return [(path.removeprefix(f"{BASE}/"), each) for path, each in api.asked], document


async def test_ones_own_are_asked_for_until_there_is_no_more() -> None:
    found, document = await asked(Wanted(namespace="red"))

    spec = {"namespace": "red"}
    assert found == [("selfallocations", spec), ("selfallocations", {**spec, "continue": "pods/red/a"})]
    assert document == {"spec": spec, "status": {"allocations": [1, 2], "sums": ["s"]}}


async def test_they_are_selected_by_tags_on_each_page() -> None:
    own, _ = await asked(Wanted(selector="team=ml"))
    others, _ = await asked(Wanted(everybody=True, selector="team=ml"))

    assert [spec["selector"] for _, spec in own] == ["team=ml"] * 2
    assert [query["labelSelector"] for _, query in others] == ["team=ml"] * 2


async def test_what_an_older_version_answers_is_not_taken_for_a_selection() -> None:
    """It reads no field that it does not know, and answers with all."""
    older = ViewClient(cast("KubernetesApi", Api(is_older=True)))

    with pytest.raises(ViewError, match="older than this command: no allocations by tags"):
        await read(older, Wanted(selector="team=ml"))


LISTS = {
    "all": (Wanted(everybody=True), "allocations", ""),
    "a subject": (Wanted("group/ml"), "allocations", "spec.subject=group/ml"),
    "an owner": (Wanted(owner="a,b=c\\d"), "allocations", r"status.owner=a\,b\=c\\d"),
    "a namespace, for which the right in it will do": (Wanted("namespace/red"), "namespaces/red/allocations", ""),
    "all filters": (
        Wanted("tenant/t", owner="alice", namespace="red", resource="pods"),
        "namespaces/red/allocations",
        "spec.subject=tenant/t,status.owner=alice,status.resource=pods",
    ),
    "two namespaces": (
        Wanted("namespace/blue", namespace="red"),
        "namespaces/red/allocations",
        "spec.subject=namespace/blue",
    ),
}


@pytest.mark.parametrize(("wanted", "path", "fields"), LISTS.values(), ids=LISTS.keys())
async def test_those_of_others_are_asked_for_until_there_is_no_more(wanted: Wanted, path: str, fields: str) -> None:
    found, document = await asked(wanted)

    query = {"limit": "500", "fieldSelector": fields}
    assert found == [(path, query), (path, {**query, "continue": "pods/red/a"})]
    assert document == {"metadata": {}, "items": [1, 2], "sums": ["s"]}


class Refusing:
    """Refuses whatever is asked."""

    def __init__(self, error: ApiError) -> None:
        self.error = error

    async def get(self, path: str, *, query: Mapping[str, str]) -> bytes:  # noqa: ARG002 - as the client
        raise self.error


REFUSED = {
    "a filter": (ApiError("x" * 300, request="GET /a", status=400, reason="BadRequest"), "x" * 300),
    "an older one": (
        NotFoundError("Not Found", request="GET /a", status=404, reason="NotFound"),
        "the userquota of this cluster is older than this command: no allocations",
    ),
    "none": (
        NotFoundError("404 page not found", request="GET /a", status=404),
        "the API server does not serve view.userquota.dev: apply manifests/apiservice.yaml, see docs/view.md",
    ),
}


@pytest.mark.parametrize(("error", "told"), REFUSED.values(), ids=REFUSED.keys())
async def test_why_there_is_no_answer_is_told(error: ApiError, told: str) -> None:
    client = ViewClient(cast("KubernetesApi", Refusing(error)))

    with pytest.raises(ViewError) as caught:
        await read(client, Wanted("namespace/red"))
    assert str(caught.value) == told
