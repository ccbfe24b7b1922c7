"""`userquota charge`: what programs and people are shown, in the order in which the objects were named."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.running import Ended, in_process, userquota

pytestmark = pytest.mark.slow

POD = """\
apiVersion: v1
kind: Pod
metadata: {name: NAME, namespace: red}
spec:
  containers:
  - name: main
    image: example.com/none
    resources: {requests: {cpu: 1500m, memory: 1Gi}, limits: {cpu: "2"}}
"""
DEPLOYMENT = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {replicas: 3}\n"
COST = {"count/pods": "1", "limits.cpu": "2", "pods": "1", "requests.cpu": "1500m", "requests.memory": "1Gi"}


def pod(name: str = "a") -> str:
    return POD.replace("NAME", name)


def item(name: str = "a", **changes: object) -> dict[str, Any]:
    found = {"apiVersion": "v1", "kind": "Pod", "namespace": "red", "name": name, "charge": COST}
    return {**found, **changes}


def charge(folder: Path, *names: str, output: str = "json", stdin: bytes = b"") -> Ended:
    named = [word for name in names for word in ("-f", name)]
    return userquota("charge", *named, "-o", output, folder=folder, stdin=stdin)


def items(ended: Ended) -> list[dict[str, Any]]:
    assert (ended.code, ended.err) == (0, "")
    document = json.loads(ended.out)
    assert list(document) == ["items", "totals"]
    found: list[dict[str, Any]] = document["items"]
    return found


def named(ended: Ended) -> list[str]:
    return [each["name"] for each in items(ended)]


def test_json_for_programs_has_exactly_this_shape(tmp_path: Path) -> None:
    (tmp_path / "pod.yaml").write_text(pod())

    ended = charge(tmp_path, "pod.yaml")

    assert items(ended) == [item()]
    assert list(items(ended)[0]) == ["apiVersion", "kind", "namespace", "name", "charge"]


def test_gpus_are_counted_with_the_weight_in_the_source_text(tmp_path: Path) -> None:
    asked = 'limits: {cpu: "2", nvidia.com/mig-3g.20gb: 1, google.com/tpu: 4}'
    text = pod().replace('limits: {cpu: "2"}', asked)
    devices = {"requests.nvidia.com/mig-3g.20gb": "1", "requests.google.com/tpu": "4"}

    assert items(charge(tmp_path, "-", stdin=text.encode())) == [
        item(charge={**COST, **devices, "gpu": "3/7", "accelerator": "4"})
    ]
    table = charge(tmp_path, "-", output="table", stdin=text.encode()).out.splitlines()
    told = {line.split()[3]: line.split()[4:] for line in table[1 : table.index("")]}
    assert table[-7].split() == ["gpu", "3/7", "requests.nvidia.com/mig-3g.20gb", "x", "3/7"]
    assert told["gpu"] == ["3/7", "requests.nvidia.com/mig-3g.20gb", "x", "3/7"]
    assert told["accelerator"] == ["4", "requests.google.com/tpu", "x", "1"]
    assert told["requests.google.com/tpu"] == ["4", "main"]


def test_parts_of_gpus_that_annotations_ask_for_are_shown_as_gpu(tmp_path: Path) -> None:
    noted = 'name: a, annotations: {gpu-fraction: "0.25", gpu-fraction-num-devices: "2"}'
    (tmp_path / "pod.yaml").write_text(POD.replace("name: NAME", noted))

    assert items(charge(tmp_path, "pod.yaml")) == [item(charge={**COST, "gpu": "1/2"})]
    table = charge(tmp_path, "pod.yaml", output="table").out
    assert [line.split()[4:] for line in table.splitlines() if " Pod " in line and " gpu " in line] == [
        ["1/2", "annotation", "gpu-fraction", "x", "1"]
    ]


def test_what_a_pod_asks_for_and_nothing_counts_is_told(tmp_path: Path) -> None:
    names = "kubernetes.io/batch-memory: 1Gi, kubernetes.io/batch-cpu: 500"
    text = pod().replace('limits: {cpu: "2"}', f'limits: {{cpu: "2", {names}}}')

    assert items(charge(tmp_path, "-", stdin=text.encode())) == [
        item(uncounted=["kubernetes.io/batch-cpu", "kubernetes.io/batch-memory"])
    ]
    lines = [line.split() for line in charge(tmp_path, "-", output="table", stdin=text.encode()).out.splitlines()]
    assert [line[3:] for line in lines[lines.index([]) - 2 : lines.index([])]] == [
        ["kubernetes.io/batch-cpu", "0", "counted", "by", "nothing"],
        ["kubernetes.io/batch-memory", "0", "counted", "by", "nothing"],
    ]


def test_objects_that_cost_nothing_are_listed_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "web.yaml").write_text(DEPLOYMENT)

    assert items(charge(tmp_path, "web.yaml")) == [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "namespace": "",
            "name": "web",
            "charge": {},
            "nothing": "it has no template of pods",
        }
    ]


def test_what_is_misspelt_or_nobody_knows_is_noted_as_check_says_it(tmp_path: Path) -> None:
    wrong = pod().replace("resources:", "resource:")
    (tmp_path / "x.yaml").write_text(f"{wrong}---\napiVersion: foo.example/v1\nkind: Blah\nmetadata: {{name: b}}\n")
    (tmp_path / "policy.yaml").write_text("version: 1\ndefaults: {user: {hard: {pods: 2}}}\n")
    said = [
        "x.yaml:1: Pod a: spec.containers[0].resource: unknown field, did you mean resources?",
        "x.yaml:10: Blah b: userquota does not know this kind, nor the pods that are made for it",
    ]
    ended = charge(tmp_path, "x.yaml")
    assert (ended.code, ended.err) == (0, "".join(f"note: {each}\n" for each in said))
    assert [each["charge"] for each in json.loads(ended.out)["items"]] == [{"count/pods": "1", "pods": "1"}, {}]

    checked = userquota("check", "-f", "x.yaml", "--policy", "policy.yaml", "--as", "alice", folder=tmp_path)
    assert (checked.code, checked.err) == (0, "")
    assert set(said) < set(checked.out.splitlines())


def test_files_may_be_named_with_and_without_the_option(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.yaml").write_text(pod(name))
    ended = userquota("charge", "b.yaml", "-f", "a.yaml", "c.yaml", "-o", "json", folder=tmp_path)

    assert named(ended) == ["a", "b", "c"]
    assert json.loads(ended.out)["totals"] == {
        "count/pods": "3",
        "limits.cpu": "6",
        "pods": "3",
        "requests.cpu": "4500m",
        "requests.memory": "3Gi",
    }


def test_the_presets_and_the_weights_of_a_policy_stand_for_those_shipped(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text("version: 1\nresources: {gpu: {example.com/card: 2}}\n")
    (tmp_path / "pod.yaml").write_text(pod().replace('{cpu: "2"}', '{cpu: "2", example.com/card: 2}'))
    ended = userquota("charge", "pod.yaml", "-p", "policy.yaml", "-o", "json", folder=tmp_path)

    assert json.loads(ended.out)["totals"]["gpu"] == "4"


def test_a_pod_that_asks_for_nothing_costs_its_place(tmp_path: Path) -> None:
    (tmp_path / "pod.yaml").write_text(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: m}]}"
    )

    assert items(charge(tmp_path, "pod.yaml")) == [item(namespace="", charge={"count/pods": "1", "pods": "1"})]


def test_a_limit_counts_as_a_request_where_there_is_none(tmp_path: Path) -> None:
    (tmp_path / "pod.yaml").write_text(pod().replace("requests: {cpu: 1500m, memory: 1Gi}, ", ""))

    assert items(charge(tmp_path, "pod.yaml"))[0]["charge"] == {
        "count/pods": "1",
        "limits.cpu": "2",
        "pods": "1",
        "requests.cpu": "2",
    }


def test_objects_come_in_the_order_in_which_they_were_named(tmp_path: Path) -> None:
    (tmp_path / "z.yaml").write_text(f"{pod('z1')}---\n{pod('z2')}")
    (tmp_path / "a.yaml").write_text(pod("a"))
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in ("c.json", "b.yml", "d.jsonl", "notes.txt"):
        (folder / name).write_text(json.dumps(yaml.safe_load(pod(name.partition(".")[0]))))

    ended = charge(tmp_path, "z.yaml", "-", "folder", "a.yaml", stdin=pod("of-stdin").encode())

    assert ended.err == "passed over: folder/notes.txt: no manifest\n"
    assert named(replace(ended, err="")) == ["z1", "z2", "of-stdin", "b", "c", "d", "a"]


def as_json(*names: str) -> list[Any]:
    return [yaml.safe_load(pod(name)) for name in names]


FORMS = {
    "YAML documents": f"---\n{pod('a')}---\n---\n# nothing\n---\n{pod('b')}...\n",
    "one JSON object after the other": "".join(json.dumps(each, indent=1) for each in as_json("a", "b")),
    "JSON lines": "\n".join(json.dumps(each) for each in as_json("a", "b")) + "\n",
    "a List": json.dumps({"apiVersion": "v1", "kind": "List", "items": as_json("a", "b")}),
    "a List in YAML": yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": as_json("a", "b")}),
    "a PodList whose items do not say what they are": json.dumps(
        {
            "apiVersion": "v1",
            "kind": "PodList",
            "items": [{key: each[key] for key in ("metadata", "spec")} for each in as_json("a", "b")],
        }
    ),
}


@pytest.mark.parametrize("text", FORMS.values(), ids=FORMS.keys())
def test_every_form_that_kubectl_takes_is_taken(tmp_path: Path, text: str) -> None:
    assert items(charge(tmp_path, "-", stdin=text.encode())) == [item("a"), item("b")]


def test_an_empty_list_is_no_mistake(tmp_path: Path) -> None:
    assert items(charge(tmp_path, "-", stdin=b"apiVersion: v1\nkind: List\nitems: []\n")) == []


def test_a_generated_name_stands_for_the_name(tmp_path: Path) -> None:
    text = pod().replace("name: a,", "generateName: job-,")

    assert named(charge(tmp_path, "-", stdin=text.encode())) == ["job-"]


def test_yaml_for_people_says_the_same(tmp_path: Path) -> None:
    ended = charge(tmp_path, "-", output="yaml", stdin=pod().encode())

    assert yaml.safe_load(ended.out) == {"items": [item()], "totals": COST}


def test_the_table_has_a_line_per_amount(tmp_path: Path) -> None:
    lines = [line.split() for line in charge(tmp_path, "-", output="table", stdin=pod().encode()).out.splitlines()]

    assert lines[0][:5] == ["NAMESPACE", "KIND", "NAME", "RESOURCE", "AMOUNT"]
    middle = lines.index([])
    assert [line[:5] for line in lines[1:middle]] == [["red", "Pod", "a", name, COST[name]] for name in sorted(COST)]
    assert lines[middle + 1 :] == [["RESOURCE", "TOTAL", "FROM"], *([name, COST[name]] for name in sorted(COST))]


def test_of_very_many_containers_the_table_names_the_first(tmp_path: Path) -> None:
    """Of a pod with 200 containers the column was 2 000 letters wide."""
    resources = {"requests": {"cpu": "10m"}}
    containers = [{"name": f"c{number:03}", "image": "x", "resources": resources} for number in range(200)]
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "many"}, "spec": {"containers": containers}}
    table = charge(tmp_path, "-", output="table", stdin=json.dumps(body).encode()).out

    named = " + ".join(f"c{number:03}" for number in range(11))
    assert [line.split("   ")[-1].strip() for line in table.splitlines() if "requests.cpu" in line] == [
        f"{named} and 189 more",
        "2",
    ]
    assert max(map(len, table.splitlines())) < 160


BROKEN = {
    "an amount that is none": (
        pod().replace("1500m", "1500M1"),
        (
            "stdin:1: Pod a: spec.containers[0].resources.requests.cpu: invalid quantity '1500M1': "
            "expected a number with a suffix such as m, k, M, G, Ki, Mi, Gi or e3"
        ),
    ),
    "a negative amount": (
        pod().replace("1500m", "-1"),
        "stdin:1: Pod a: spec.containers[0].resources.requests.cpu: invalid quantity '-1': it must not be negative",
    ),
    "containers that are none": (
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: main}\n",
        "stdin:1: Pod a: spec.containers: expected a list, got text",
    ),
    "an object without a kind": ("apiVersion: v1\n", "stdin:1:1: kind: missing"),
    "a text": ("hello", "stdin:1:1: this is no object"),
    "a template": (
        "kind: Pod\nmetadata:\n  {{- if .x }}\n  name: a\n",
        "stdin:3:3: this is a template: render it first, as with helm template",
    ),
    "a template of a name": (
        "apiVersion: v1\nkind: Pod\nmetadata: {name: {{ .x }}}\n",
        "stdin:3:18: this is a template: render it first, as with helm template",
    ),
    "a tab": ("kind: Pod\n\tapiVersion: v1\n", "stdin:2:1: a tab cannot stand here: indent with spaces"),
    "a key given twice": (
        '{"apiVersion": "v1", "kind": "Pod", "kind": "Pod"}',
        'stdin:1:37: kind: the key "kind" is given twice, first at line 1, column 22',
    ),
}


@pytest.mark.parametrize(("text", "why"), BROKEN.values(), ids=BROKEN.keys())
def test_with_a_mistake_nothing_is_printed_but_the_mistake(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "good.yaml").write_text(pod())

    ended = charge(tmp_path, "good.yaml", "-", stdin=text.encode())

    assert ended == Ended(2, "", f"userquota: {why}\n")


def test_all_mistakes_of_all_files_are_told(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text(pod(name).replace("1500m", "x").replace("1Gi", "y"))

    ended = charge(tmp_path, "a.yaml", "b.yaml")

    assert (ended.code, ended.out) == (2, "")
    assert [line.partition(": Pod")[0] for line in ended.err.splitlines()] == [
        "userquota: a.yaml:1",
        "userquota: b.yaml:1",
    ]


CONTINUED = """\
userquota: empty.yaml: no Kubernetes object in it
userquota: gone.yaml: No such file or directory
userquota: bad.yaml:1:1: this is no object
userquota: wrong.yaml:1: Pod wrong: spec.containers[0].resources.requests.cpu: invalid quantity 'x': \
expected a number with a suffix such as m, k, M, G, Ki, Mi, Gi or e3
"""


def test_the_rest_is_shown_on_demand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "good.yaml").write_text(pod())
    (tmp_path / "empty.yaml").write_text("")
    (tmp_path / "bad.yaml").write_text("- 1")
    (tmp_path / "wrong.yaml").write_text(pod("wrong").replace("1500m", "x"))
    names = [f"{each}.yaml" for each in ("good", "empty", "gone", "bad", "wrong")]
    monkeypatch.chdir(tmp_path)

    ended = in_process("charge", *names, "-o", "json", "--continue")
    assert (ended.code, ended.err) == (2, CONTINUED)
    assert json.loads(ended.out) == {"items": [item()], "totals": COST}
    ended = in_process("charge", *names)
    assert (ended.code, ended.out, len(ended.err.splitlines())) == (2, "", 3)
    ended = in_process("charge", *names[1:4], "--continue")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.endswith("userquota: no object that can be read in what was given\n")


def test_an_empty_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app/good.yaml").write_text(pod())
    (tmp_path / "app/empty.yaml").write_text("# nothing\n")
    (tmp_path / "app/values.yaml").write_text("replicas: 1\n")
    monkeypatch.chdir(tmp_path)

    told = "userquota: app/empty.yaml: no Kubernetes object in it\n"
    assert in_process("charge", "app/good.yaml", "app/empty.yaml") == Ended(2, "", told)
    ended = in_process("charge", "app", "-o", "json")
    assert (ended.code, json.loads(ended.out)["totals"]) == (0, COST)
    assert ended.err == (
        "passed over: app/empty.yaml: no manifest: nothing in it\n"
        "passed over: app/values.yaml: no manifest: nothing in it has a kind\n"
    )


def test_variants_of_an_object_are_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "one.yaml").write_text(pod())
    (tmp_path / "two.yaml").write_text(pod())
    monkeypatch.chdir(tmp_path)
    assert named(in_process("charge", "one.yaml", "two.yaml", "-o", "json")) == ["a", "a"]


UNREADABLE = {
    "a file that is not there": ("none.yaml", "none.yaml: No such file or directory"),
    "a file without objects": ("nothing.yaml", "nothing.yaml: no Kubernetes object in it"),
    "a file of 50 MB": ("large.yaml", "large.yaml: larger than 32 MiB, which is the most that is read: split it"),
    "a folder without manifests": ("empty", "empty: no .yaml, .yml, .json or .jsonl file in it"),
    "a file that is no text": ("bytes.yaml", "bytes.yaml: not UTF-8 at byte 2"),
    "a folder named like a file": ("nested", "nested/folder.yaml: Is a directory"),
}


@pytest.mark.parametrize(("name", "why"), UNREADABLE.values(), ids=UNREADABLE.keys())
def test_what_cannot_be_read_ends_it_with_one_line(tmp_path: Path, name: str, why: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "nested" / "folder.yaml").mkdir(parents=True)
    (tmp_path / "bytes.yaml").write_bytes(b"a:\xff")
    (tmp_path / "nothing.yaml").write_text("---\n# nothing\n---\n")
    with (tmp_path / "large.yaml").open("wb") as large:
        large.truncate(50_000_000)

    assert charge(tmp_path, name) == Ended(2, "", f"userquota: {why}\n")


@pytest.mark.parametrize("arguments", [(), ("-o", "json"), ("-f", "-", "-o", "xml")], ids=str)
def test_wrong_use_is_told_with_how_to_use_it(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    ended = userquota("charge", *arguments, folder=tmp_path)

    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("Usage: userquota charge [OPTIONS]")
