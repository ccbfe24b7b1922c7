"""`userquota policy diff`: 0 without differences, 1 with, 2 for trouble; and who would be over a limit."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.admission.asking import Json, pod, stamped
from tests.cli.canned import Cluster, answering
from tests.cli.running import Ended, in_process, userquota

pytestmark = pytest.mark.slow

OLD = """\
version: 1
defaults: {user: {hard: {cpu: 4}}}
users: {alice: {hard: {cpu: 8}}}
"""
NEW = """\
version: 1
combine: max
defaults: {user: {hard: {cpu: 2}}}
users:
  bob: {hard: {cpu: 9}}
"""
TABLES = """\
# may use less
WHOM             LIMIT          BEFORE   AFTER   BY
any other user   requests.cpu   4        2       defaults.user at new.yaml:3
user/alice       requests.cpu   8        2       defaults.user at new.yaml:3

# may use more
WHOM       LIMIT          BEFORE   AFTER   BY
user/bob   requests.cpu   4        9       users.bob at new.yaml:5

# entries
CHANGE    ENTRY           WHAT                BEFORE   AFTER   PLACE
changed   defaults.user   hard.requests.cpu   4        2       old.yaml:2 -> new.yaml:3
removed   users.alice     hard.requests.cpu   8        -       old.yaml:3
added     users.bob       hard.requests.cpu   -        9       new.yaml:5

# settings
SETTING   BEFORE             AFTER
combine   most-restrictive   max

"""
OVER = """\
# would be over a limit
WHOM         RESOURCE       USED   LIMIT   OVER   BY
user/alice   requests.cpu   6      2       4      defaults.user at new.yaml:3
user/carol   requests.cpu   3      2       1      defaults.user at new.yaml:3

"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "old.yaml").write_text(OLD)
    (tmp_path / "new.yaml").write_text(NEW)
    (tmp_path / "bad.yaml").write_text("version: 2\n")
    (tmp_path / "same").mkdir()
    (tmp_path / "same/a.yaml").write_text("version: 1\nusers: {alice: {hard: {cpu: 8000m}}}\n")
    (tmp_path / "same/b.yaml").write_text("version: 1\ndefaults: {user: {hard: {requests.cpu: '4'}}}\n")
    namespace: Json = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "red"}}
    pods = [stamped(pod(owner, cpu=cpu), owner) for owner, cpu in (("carol", "3"), ("alice", "6"), ("bob", "3"))]
    saved = {"apiVersion": "v1", "kind": "List", "items": [namespace, *pods]}
    (tmp_path / "usage.json").write_text(json.dumps(saved))
    return tmp_path


def test_policies_that_say_the_same_have_no_differences(folder: Path) -> None:
    ended = userquota("policy", "diff", "old.yaml", "same", folder=folder)
    assert (ended.code, ended.out, ended.err) == (0, "no differences\n", "")


def test_who_may_use_less_and_more_and_where_that_is_written(folder: Path) -> None:
    ended = userquota("policy", "diff", "old.yaml", "new.yaml", folder=folder)
    assert (ended.code, ended.out, ended.err) == (1, TABLES, "")


def test_with_usage_it_says_who_would_be_over_the_furthest_first(folder: Path) -> None:
    ended = userquota("policy", "diff", "old.yaml", "new.yaml", "--usage", "usage.json", folder=folder)
    assert ended.code == 1
    assert ended.out.endswith(OVER)
    assert "user/carol       requests.cpu   4        2 " in ended.out
    assert ended.err == ""


def test_the_document_has_all_of_it(folder: Path) -> None:
    ended = userquota("policy", "diff", "old.yaml", "new.yaml", "--usage", "usage.json", "-o", "json", folder=folder)
    document = json.loads(ended.out)
    assert (ended.code, document["different"]) == (1, True)
    same = userquota("policy", "diff", "old.yaml", "new.yaml", "--usage", "usage.json", "-o", "yaml", folder=folder)
    assert (same.code, yaml.safe_load(same.out)) == (1, document)
    assert document["limits"][1] == {
        "whom": "user/alice",
        "cap": None,
        "resource": "requests.cpu",
        "change": "less",
        "before": {"hard": "8", "entry": "users.alice", "place": "old.yaml:3"},
        "after": {"hard": "2", "entry": "defaults.user", "place": "new.yaml:3"},
    }
    assert [(each["change"], each["entry"]) for each in document["entries"]] == [
        ("changed", "defaults.user"),
        ("removed", "users.alice"),
        ("added", "users.bob"),
    ]
    assert document["settings"] == [{"what": "combine", "before": "most-restrictive", "after": "max"}]
    over = [(each["whom"], each["used"], each["limit"], each["over"]) for each in document["overLimits"]]
    assert over == [("user/alice", "6", "2", "4"), ("user/carol", "3", "2", "1")]
    assert document["notCompared"] == []


def test_a_namespace_that_was_not_saved_is_told(folder: Path) -> None:
    usage = json.loads((folder / "usage.json").read_text())
    (folder / "usage.json").write_text(json.dumps({**usage, "items": usage["items"][1:]}))
    ended = userquota("policy", "diff", "old.yaml", "old.yaml", "--usage", "usage.json", folder=folder)
    assert (ended.code, ended.out) == (0, "no differences\n")
    assert ended.err == "note: namespace red was not saved: it is taken for one without labels\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("old.yaml", "bad.yaml"), "bad.yaml:1:10: version: expected version: 1, the only one this release reads"),
        (("gone.yaml", "new.yaml"), "userquota: gone.yaml: No such file or directory"),
        (("old.yaml", "new.yaml", "--usage", "gone.json"), "userquota: gone.json: No such file or directory"),
        (("old.yaml", "new.yaml", "--usage", "new.yaml"), "new.yaml:1:1: apiVersion: missing"),
    ],
)
def test_trouble_is_neither_same_nor_different(folder: Path, arguments: tuple[str, ...], said: str) -> None:
    ended = userquota("policy", "diff", *arguments, folder=folder)
    assert ended.code == 2
    assert ended.out == ""
    assert said in ended.err


# With a cluster.

MAPS = "/api/v1/namespaces/userquota-system/configmaps"


@pytest.fixture
def cluster(folder: Path) -> Iterator[Cluster]:
    """One with the objects of the saved usage, and OLD as its policy."""
    namespace, *pods = json.loads((folder / "usage.json").read_text())["items"]
    with answering(folder) as cluster:
        cluster.has("/api/v1/namespaces", namespace)
        cluster.has("/api/v1/pods", *pods)
        cluster.has("/api/v1/persistentvolumeclaims")
        cluster.has(MAPS, {"metadata": {"name": "userquota-policy"}, "data": {"policy.yaml": OLD}})
        yield cluster


def live(cluster: Cluster, folder: Path, *arguments: str, old: str = "") -> Ended:
    policies = [str(folder / name) for name in (old, "new.yaml") if name]
    return in_process("policy", "diff", *policies, "--live", "--kubeconfig", str(cluster.config), *arguments)


def test_live_usage_is_that_of_the_same_objects_saved(folder: Path, cluster: Cluster) -> None:
    found = live(cluster, folder, old="old.yaml")
    by_file = in_process(
        "policy", "diff", *(str(folder / name) for name in ("old.yaml", "new.yaml")), "--usage", f"{folder}/usage.json"
    )
    assert found == by_file
    assert "# would be over a limit\n" in found.out
    assert not any(path.startswith(MAPS) for path in cluster.asked)


def test_without_old_the_policy_of_the_cluster_is_compared(folder: Path, cluster: Cluster) -> None:
    found = live(cluster, folder, "-o", "json", "--as", "lead")
    document = json.loads(found.out)
    assert (found.code, document["limits"][1]["before"]["place"]) == (1, "userquota-policy/policy.yaml:3")
    assert [each["whom"] for each in document["overLimits"]] == ["user/alice", "user/carol"]
    assert cluster.asked[0].startswith(f"{MAPS}?labelSelector=")
    assert {head.get("Impersonate-User") for head in cluster.heads} == {"lead"}

    cluster.has(MAPS, {"metadata": {"name": "userquota-policy"}, "data": {"policy.yaml": NEW}})
    assert live(cluster, folder) == Ended(0, "no differences\n", "")


BROKEN = {"metadata": {"name": "p"}, "data": {"a.yaml": "version: 1\nuser: 7\n"}}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda each: each.refused.add("pods"), "pods: you may not list pods in the whole cluster"),
        (lambda each: each.refused.add("namespaces"), "namespaces: you may not list namespaces in the whole cluster"),
        (lambda each: each.answers.update({"/api/v1/pods": (500, {"message": "no"})}), "pods could not be listed"),
        (lambda each: each.has("/api/v1/pods", {"metadata": {"name": "x"}, "spec": {"containers": 7}}), "pods /x: "),
        (lambda each: each.answers.update({MAPS: (403, {"message": "no"})}), "ConfigMaps of the policy cannot be read"),
        (lambda each: each.has(MAPS), "no ConfigMap in namespace userquota-system has the label"),
        (
            lambda each: each.has(MAPS, BROKEN),
            "the policy of the cluster has mistakes, and is not in force: p/a.yaml:2",
        ),
    ],
)
def test_without_all_of_the_usage_there_is_no_diff(folder: Path, cluster: Cluster, change: Any, said: str) -> None:
    change(cluster)
    found = live(cluster, folder)
    assert (found.code, found.out) == (2, "")
    assert said in found.err
    assert "with OLD and --usage instead of --live no cluster is asked" in found.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("new.yaml",), "give OLD and NEW, or NEW with --live"),
        (("a", "b", "c", "--live"), "give OLD and NEW, or NEW with --live"),
        (("a", "b", "--live", "--usage", "c"), "give one of --live and --usage"),
        (("a", "b", "--as", "bob"), "--as goes with --live"),
    ],
)
def test_what_does_not_go_together_is_wrong_use(arguments: tuple[str, ...], said: str) -> None:
    found = in_process("policy", "diff", *arguments)
    assert (found.code, found.out) == (2, "")
    assert said in found.err
