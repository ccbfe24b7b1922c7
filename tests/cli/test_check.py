"""`userquota check`: 0 if all fits, 1 if something does not, 2 for what cannot be read; and what it prints."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.cli.running import Ended, in_process, userquota
from webhook.cli.manifests import read_manifests

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent.parent
DOCUMENT = (ROOT / "docs/check.md").read_text()

POLICY = "version: 1\ndefaults: {user: {hard: {pods: 2}}}\n"
POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: NAME}\n"
TEMPLATE = POD + "spec: {{ toYaml .Values.spec }}\n"
QUOTED = (
    "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec: {replicas: '{{ .Values.n }}', template: {}}\n"
)
NOT_RENDERED = "(a template that is not rendered? give what helm template or kustomize build prints)"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "policy.yaml").write_text(POLICY)
    for name, documents in {"one": "a", "two": "ab", "three": "abc"}.items():
        (tmp_path / f"{name}.yaml").write_text("---\n".join(POD.replace("NAME", each) for each in documents))
    return tmp_path


def check(*arguments: str, folder: Path, stdin: bytes = b"", user: str = "alice") -> Ended:
    return userquota("check", *arguments, "--policy", "policy.yaml", "--as", user, folder=folder, stdin=stdin)


def test_the_example_of_the_document_says_what_stands_there() -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", DOCUMENT, re.DOTALL)
    command, said = re.findall(r"```console\n\$ (.*?)\n(.*?)```", DOCUMENT, re.DOTALL)[0]
    ended = userquota(*command.split()[1:], folder=ROOT)
    assert (ended.code, ended.out, ended.err) == (1, said, "")
    assert (ROOT / "examples/app.yaml").read_text() == example


@pytest.mark.parametrize(("file", "code"), [("two.yaml", 0), ("three.yaml", 1)])
def test_the_exit_code_says_whether_all_fits(folder: Path, file: str, code: int) -> None:
    ended = check("-f", file, folder=folder)
    assert (ended.code, ended.err) == (code, "")


def test_a_document_for_programs(folder: Path) -> None:
    document: dict[str, Any] = json.loads(check("-f", "three.yaml", "-o", "json", folder=folder).out)
    assert (document["fits"], document["adds"]) == (False, {"count/pods": "3", "pods": "3"})
    assert [each["verdict"] for each in document["items"]] == ["fits", "fits", "does not fit"]
    assert [each["free"] for each in document["limits"]] == ["0"]
    third = document["items"][2]
    assert (third["place"], third["wouldFit"]) == ("three.yaml:9", "nothing")
    [limit] = third["limits"]
    assert (limit["entry"], limit["used"], limit["hard"], limit["tightest"]) == ("defaults.user", "2", "2", True)
    assert "place" in limit
    assert check("-f", "three.yaml", "-o", "yaml", folder=folder).out.startswith("fits: false\n")


def test_amounts_are_in_the_notation_of_the_policy(folder: Path) -> None:
    (folder / "policy.yaml").write_text("version: 1\nresources: {example.com/vram: {format: binary, default: 8Gi}}\n")
    (folder / "vram.yaml").write_text(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n"
        "spec: {containers: [{name: a, image: x, resources: {limits: {example.com/vram: 9663676416}}}]}\n"
    )
    assert "9Gi         8Gi    8Gi" in check("-f", "vram.yaml", folder=folder).out

    document: dict[str, Any] = json.loads(check("-f", "vram.yaml", "-o", "json", folder=folder).out)
    (item,) = document["items"]
    assert {each["adds"]["requests.example.com/vram"] for each in (document, item)} == {"9Gi"}
    assert (item["limits"][0]["requested"], item["limits"][0]["hard"]) == ("9Gi", "8Gi")
    assert [each["free"] for each in document["limits"]] == ["8Gi"]


def test_usage_that_was_saved(folder: Path) -> None:
    stamp = {"userquota.dev/owner": "alice", "userquota.dev/groups": "[]"}
    meta = {"name": "old", "namespace": "red", "uid": "u", "resourceVersion": "4", "annotations": stamp}
    (folder / "usage.json").write_text(json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": meta}))
    assert check("-f", "two.yaml", "--usage", "usage.json", folder=folder).code == 1
    assert check("-f", "two.yaml", "--usage", "usage.json", folder=folder, user="bob").code == 0


def test_a_folder_with_files_that_are_no_manifests(folder: Path) -> None:
    chart = folder / "chart"
    (chart / "below").mkdir(parents=True)
    (chart / "values.yaml").write_text("replicas: 1\n")
    (chart / "Chart.yaml").write_text("apiVersion: v2\nname: chart\n")
    (chart / "README.md").write_text("Read me.\n")
    (chart / "pod.yaml").write_text(POD.replace("NAME", "a"))
    (chart / "below/pods.yaml").write_text((folder / "three.yaml").read_text().replace("name: a", "name: d"))

    flat, deep = check("-f", "chart", folder=folder), check("-f", "chart", "-R", folder=folder)

    assert (flat.code, deep.code) == (0, 1)
    assert flat.err == deep.err
    assert flat.err == (
        "passed over: chart/README.md: no manifest\n"
        "passed over: chart/Chart.yaml: no manifest: nothing in it has a kind\n"
        "passed over: chart/values.yaml: no manifest: nothing in it has a kind\n"
    )
    assert check("-f", "chart/values.yaml", folder=folder).code == 2


BAD: dict[str, tuple[str, str]] = {
    "a template": (TEMPLATE, "x.yaml:4:7: this is a template: render it first, as with helm template"),
    "no YAML": ("a: [", "x.yaml:1:5: "),
    "no object": ("- 1", "x.yaml:1:1: this is no object"),
    "no kind": ("apiVersion: v1\nmetadata: {name: a}\n", "x.yaml:1:1: kind: missing"),
    "a kustomization": (
        "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n",
        "x.yaml:1:1: no object of a cluster: give what kustomize build prints instead",
    ),
    "an object twice": (POD + "---\n" + POD, "x.yaml:5:1: Pod NAME is given twice, first at x.yaml:1"),
}


@pytest.mark.parametrize(("text", "said"), BAD.values(), ids=BAD.keys())
def test_what_cannot_be_read_is_told_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "x.yaml").write_text(text)
    (mistake, *_) = read_manifests([str(tmp_path / "x.yaml")], is_deep=False).mistakes
    assert mistake.replace(f"{tmp_path}/", "").startswith(said)


def test_nothing_is_judged_if_something_cannot_be_read(folder: Path) -> None:
    ended = check("-f", "-", "-f", "one.yaml", folder=folder, stdin=b"- 1")
    assert (ended.code, ended.out, ended.err) == (2, "", "userquota: stdin:1:1: this is no object\n")


def test_the_rest_is_judged_on_demand(folder: Path) -> None:
    text = QUOTED + "---\n- 1\n---\n" + POD
    ended = check("-f", "-", "--continue", folder=folder, stdin=text.encode())
    assert ended.code == 2
    assert ended.err == (
        "userquota: stdin:6:1: this is no object\n"
        f"userquota: stdin:1: Deployment d: Expected `int | null`, got `str` - at `$.spec.replicas` {NOT_RENDERED}\n"
    )
    assert ended.out.endswith("\nfits: 1, no verdict: 1\n")


NOTHING = "# rendered to nothing\n---\n"
NOTHING_LEFT = "userquota: no object that can be read in what was given\n"


def test_nothing_to_judge_is_no_yes(folder: Path) -> None:
    ended = check("-f", "-", folder=folder, stdin=NOTHING.encode())
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == "userquota: stdin: no Kubernetes object in it\n"
    ended = check("-f", "-", folder=folder, stdin=b"apiVersion: v1\nkind: List\nitems: []\n")
    assert (ended.code, ended.out, ended.err) == (2, "", NOTHING_LEFT)


def in_folder(folder: Path, *arguments: str, monkeypatch: pytest.MonkeyPatch) -> Ended:
    monkeypatch.chdir(folder)
    return in_process("check", *arguments, "--policy", "policy.yaml", "--as", "alice")


@pytest.mark.parametrize("text", ["", NOTHING], ids=["no byte", "comments"])
def test_an_empty_file_that_is_named_is_a_mistake(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "empty.yaml").write_text(text)
    told = "userquota: empty.yaml: no Kubernetes object in it\n"
    given = ("-f", "one.yaml", "-f", "empty.yaml")

    assert in_folder(folder, *given, monkeypatch=monkeypatch) == Ended(2, "", told)
    assert in_folder(folder, *given[2:], monkeypatch=monkeypatch) == Ended(2, "", told)
    ended = in_folder(folder, *given, "--continue", monkeypatch=monkeypatch)
    assert (ended.code, ended.err) == (2, told)
    assert ended.out.endswith("\nfits: 1\n")


def test_an_empty_file_of_a_folder_is_named_and_passed_over(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = folder / "app"
    app.mkdir()
    (app / "empty.yaml").write_text("")
    told = "passed over: app/empty.yaml: no manifest: nothing in it\n"

    assert in_folder(folder, "-f", "app", monkeypatch=monkeypatch) == Ended(2, "", told + NOTHING_LEFT)
    (app / "pod.yaml").write_text(POD)
    ended = in_folder(folder, "-f", "app", monkeypatch=monkeypatch)
    assert (ended.code, ended.err) == (0, told)


def test_beside_files_that_cannot_be_read_the_rest_is_judged_on_demand(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "bytes.yaml").write_bytes(b"a:\xff")
    (folder / "none").mkdir()
    given = ("-f", "gone.yaml", "-f", "bytes.yaml", "-f", "none", "-f", "one.yaml")
    told = (
        "userquota: gone.yaml: No such file or directory\n"
        "userquota: bytes.yaml: not UTF-8 at byte 2\n"
        "userquota: none: no .yaml, .yml, .json or .jsonl file in it\n"
    )

    ended = in_folder(folder, *given, monkeypatch=monkeypatch)
    assert (ended.code, ended.out, len(ended.err.splitlines())) == (2, "", 3)
    ended = in_folder(folder, *given, "--continue", monkeypatch=monkeypatch)
    assert (ended.code, ended.err) == (2, told)
    assert ended.out.endswith("\nfits: 1\n")


def test_a_policy_with_a_mistake(folder: Path) -> None:
    (folder / "policy.yaml").write_text("version: 2\n")
    ended = check("-f", "one.yaml", folder=folder)
    assert ended.code == 2
    assert ended.err.startswith("userquota: policy.yaml:1:10: version: ")


def test_without_a_cluster_the_way_without_one_is_told(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "none").write_text("")
    ended = userquota("check", "-f", "one.yaml", "--kubeconfig", tmp_path / "none", folder=folder)
    assert (ended.code, ended.out) == (2, "")
    *_, offline = ended.err.splitlines()
    assert offline == "userquota: with --policy and --as no cluster is asked, see docs/check.md"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--policy", "policy.yaml"), "--policy goes with --as: who would submit them?"),
        (("--usage", "usage.json"), "--usage goes with --policy: a cluster knows what is used"),
    ],
)
def test_what_goes_with_what_is_told(folder: Path, options: tuple[str, ...], said: str) -> None:
    ended = userquota("check", "-f", "one.yaml", *options, folder=folder)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err
