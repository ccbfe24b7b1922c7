import json
import subprocess
import sys
import time
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from webhook.documents.mistake import Position
from webhook.documents.object_text import RawObject, object_in, read_objects

patient = settings(deadline=None)

POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": "ml"}}
OTHER_POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "b"}}
CLAIM = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "c"}}


def mistakes_in(text: str, **options: int) -> list[str]:
    return [str(mistake) for mistake in read_objects(text, source="o", **options)[1]]


def bodies_of(text: str) -> list[Any]:
    objects, mistakes = read_objects(text, source="o")
    assert mistakes == ()
    return [json.loads(each.body) for each in objects]


def list_of(*items: object, kind: str = "List") -> dict[str, object]:
    return {"apiVersion": "v1", "kind": kind, "items": list(items)}


def test_an_object_is_told_by_its_type_its_name_and_its_place() -> None:
    text = "# two\n---\n\napiVersion: apps/v1\nkind: Deployment\nmetadata: {namespace: ml, generateName: web-}\n"
    body = b'{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"namespace":"ml","generateName":"web-"}}'
    deployment = RawObject("apps/v1", "Deployment", "ml", "web-", body, "deploy.yaml", Position(4, 1))
    assert read_objects(text, source="deploy.yaml") == ((deployment,), ())


@pytest.mark.parametrize(
    ("name", "metadata"),
    [
        ("a", {"name": "a", "generateName": "b-"}),
        ("b-", {"generateName": "b-"}),
        ("b-", {"name": "", "generateName": "b-"}),
        ("b-", {"name": None, "generateName": "b-"}),
        ("", {}),
        ("", None),
    ],
)
def test_the_name_falls_back_to_generate_name(name: str, metadata: object) -> None:
    objects, _ = read_objects(json.dumps({**POD, "metadata": metadata}), source="o")
    assert [each.name for each in objects] == [name]


DOCUMENTS = {
    "nothing": ("", []),
    "comments and empty documents": ("# nothing\n---\n---\nnull\n---\n# nothing\n", []),
    "YAML documents": (yaml.dump_all([POD, CLAIM]), [POD, CLAIM]),
    "an object in JSON": (json.dumps(POD, indent=2), [POD]),
    "JSON lines": (f"{json.dumps(POD)}\n{json.dumps(CLAIM)}\n", [POD, CLAIM]),
    "JSON lines with empty ones": (f"\n\n{json.dumps(POD)}\n\nnull\n{json.dumps(CLAIM)}\n\n", [POD, CLAIM]),
    "JSON behind a byte order mark": (f"\ufeff{json.dumps(POD)}", [POD]),
    "JSON parted as YAML documents are": (f"{json.dumps(POD)}\n---\n{json.dumps(CLAIM)}\n", [POD, CLAIM]),
    "YAML in brackets": (
        "{apiVersion: v1, kind: Pod, metadata: {name: b}}\n---\n{apiVersion: v1, kind: Pod, metadata: {name: b,},}",
        [OTHER_POD, OTHER_POD],
    ),
    "a List in JSON": (json.dumps(list_of(POD, CLAIM)), [POD, CLAIM]),
    "a List in YAML": (yaml.dump(list_of(POD, CLAIM)), [POD, CLAIM]),
    "Lists in Lists": (json.dumps(list_of(POD, list_of(CLAIM, list_of()), OTHER_POD)), [POD, CLAIM, OTHER_POD]),
    "a List without items": ("apiVersion: v1\nkind: List\n", []),
    "a List whose items are null": ("apiVersion: v1\nkind: List\nitems:\n", []),
    "a PodList, whose items say what they are": (json.dumps(list_of(POD, kind="PodList")), [POD]),
    "a PodList as the API server sends it": (
        json.dumps(list_of({"metadata": {"name": "b"}}, kind="PodList")),
        [OTHER_POD],
    ),
    "an object whose kind only sounds like a list": (
        "{apiVersion: x/v1, kind: AllowList, items: {a: 1}}",
        [{"apiVersion": "x/v1", "kind": "AllowList", "items": {"a": 1}}],
    ),
}


@pytest.mark.parametrize(("text", "bodies"), DOCUMENTS.values(), ids=DOCUMENTS)
def test_gives_the_objects_in_order(text: str, bodies: list[object]) -> None:
    assert bodies_of(text) == bodies


def test_items_of_a_list_in_yaml_know_their_own_places() -> None:
    text = "apiVersion: v1\nkind: PodList\nitems:\n- metadata: {name: a}\n- {}\n"
    objects, _ = read_objects(text, source="o")
    assert [each.position for each in objects] == [Position(4, 3), Position(5, 3)]


def test_an_object_in_json_stands_where_its_document_begins() -> None:
    pods = json.dumps(list_of(POD, OTHER_POD), indent=1)
    objects, _ = read_objects(f"{json.dumps(CLAIM)}\n\n{pods}\n", source="o")
    assert [each.position for each in objects] == [Position(1, 1), Position(3, 1), Position(3, 1)]


@pytest.mark.parametrize("number", ["1e400", "0.10", "123456789012345678901234567890", "-0.0", "1E2", "9" * 400])
def test_a_number_in_json_keeps_its_digits(number: str) -> None:
    [found], _ = read_objects('{"apiVersion": "v1", "kind": "Odd", "n": ' + number + "}", source="o")
    assert found.body == b'{"apiVersion":"v1","kind":"Odd","n":' + number.encode() + b"}"


def test_nan_in_json_is_a_word_as_it_is_in_yaml() -> None:
    assert bodies_of('{"apiVersion": "v1", "kind": "Odd", "n": NaN}') == [
        {"apiVersion": "v1", "kind": "Odd", "n": "NaN"}
    ]


def test_the_body_is_utf_8() -> None:
    [found], _ = read_objects('{"apiVersion": "v1", "kind": "Odd", "n": "\\u00e9\\ud83d\\ude00\\n\\""}', source="o")
    assert found.body == '{"apiVersion":"v1","kind":"Odd","n":"é😀\\n\\""}'.encode()


REFUSED = {
    "no object": ("- 1", ["o:1:1: this is no object"]),
    "a JSON list": ("[{}]", ["o:1:1: this is no object"]),
    "no type": ("a: 1", ["o:1:1: apiVersion: missing", "o:1:1: kind: missing"]),
    "an empty type": ("{apiVersion: '', kind: null}", ["o:1:1: apiVersion: missing", "o:1:1: kind: missing"]),
    "a number as a type": ("apiVersion: 1\nkind: Pod", ["o:1:13: apiVersion: must be text"]),
    "a number as a name": (
        "apiVersion: v1\nkind: Pod\nmetadata: {name: 1, namespace: yes, generateName: []}",
        [
            "o:3:32: metadata.namespace: must be text",
            "o:3:51: metadata.generateName: must be text",
            "o:3:18: metadata.name: must be text",
        ],
    ),
    "metadata that is no object": ("{apiVersion: v1, kind: Pod, metadata: 1}", ["o:1:39: metadata: this is no object"]),
    "a List whose items are no list": (
        "{apiVersion: v1, kind: List, items: {}}",
        ["o:1:37: items: the items of a List must be a list"],
    ),
    "items of every wrong sort": (
        '{"apiVersion": "v1", "kind": "List", "items": [\n1,\n{"kind": "Pod"},\n{},\n'  # noqa: ISC004
        '{"apiVersion": "v1", "kind": "PodList", "items": [\nnull,\n{"kind": "Pod"}]}]}',
        [
            "o:1:1: items[0]: this is no object",
            "o:1:1: items[1].apiVersion: missing",
            "o:1:1: items[2].apiVersion: missing",
            "o:1:1: items[2].kind: missing",
            "o:1:1: items[3].items[0]: this is no object",
            "o:1:1: items[3].items[1].apiVersion: missing",
        ],
    ),
    "mistakes of several sorts, in the order of the text": (
        "a: &x 1\n---\na: 1\n---\n{",
        [
            "o:1:4: a: the anchor &x is not accepted: write the value out where it is needed",
            "o:3:1: apiVersion: missing",
            "o:3:1: kind: missing",
            "o:5:2: did not find expected node content while parsing a flow node",
        ],
    ),
    "a key given twice in JSON": (
        '{"apiVersion": "v1", "kind": "Odd", "kind": "Pod"}',
        ['o:1:37: kind: the key "kind" is given twice, first at line 1, column 22'],
    ),
    "JSON with something behind it": (
        json.dumps(POD) + "\n garbage",
        ["o:2:2: this is no JSON: Expecting value"],
    ),
    "JSON with a comma too few": (
        '{\n  "a": 1\n  "b": 2\n}',
        ["o:3:6: did not find expected ',' or '}' while parsing a flow mapping from line 1 on"],
    ),
    "a key given twice in the second of JSON lines": (
        json.dumps(POD) + '\n{"a": 1, "a": 2}',
        ['o:2:1: the key "a" is given twice'],
    ),
    "YAML in brackets on one line": (
        "{a: 1, b: [}",
        ["o:1:12: did not find expected node content while parsing a flow node"],
    ),
    "YAML behind JSON, in the words of YAML": (
        json.dumps(POD) + "\n---\na: [}\n",
        ["o:3:5: did not find expected node content while parsing a flow node"],
    ),
    "YAML in brackets, in the words of YAML": (
        "{a: 1,\n b: [}",
        ["o:2:6: did not find expected node content while parsing a flow node"],
    ),
}


@pytest.mark.parametrize(("text", "mistakes"), REFUSED.values(), ids=REFUSED)
def test_tells_every_mistake_with_its_place(text: str, mistakes: list[str]) -> None:
    assert mistakes_in(text) == mistakes


def test_an_object_with_a_mistake_is_left_out_and_the_others_stay() -> None:
    text = yaml.dump(POD) + "---\n" + yaml.dump(CLAIM) + "kind: Pod\n---\n" + yaml.dump(OTHER_POD)
    objects, mistakes = read_objects(text, source="o")
    assert [each.name for each in objects] == ["a", "b"]
    assert len(mistakes) == 1


@pytest.mark.parametrize("text", ["{}        ", "a: 1      "])
def test_the_size_is_limited(text: str) -> None:
    assert mistakes_in(text, limit=9) == ["o:1:1: the text has 10 characters, at most 9 are read"]


DEEP = "import sys; from webhook.documents.object_text import read_objects; print(*read_objects({text}, source='o')[1])"


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("'[' * 100_000", 65),
        ("'{a: ' * 100_000", 257),
        ("'- ' * 100_000", 129),
        ("'? ' * 100_000", 129),
        ("'{\"a\":' * 100_000", 321),
        ("'[' * 100_000 + ']' * 100_000", 65),
    ],
)
def test_a_hundred_thousand_levels_do_not_end_the_process(text: str, column: int) -> None:
    """In a process of its own, since a stack that overflows in C takes everything along."""
    run = subprocess.run([sys.executable, "-c", DEEP.format(text=text)], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (0, f"o:1:{column}: nested deeper than 64 levels\n")


pieces = st.sampled_from(
    [
        *(
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            '"',
            "'",
            "\n",
            " ",
            "- ",
            "---\n",
            "\\",
            "\ud800",
            "\x00",
            "\ufeff",
            "NaN",
            "1",
        ),
        *("NaN", "apiVersion: v1\n", "kind: Pod\n", "kind: List\n", "items:\n", "  - ", "metadata: "),
        *(
            '"apiVersion": "v1", ',
            '{"kind": "PodList", "apiVersion": "v1", "items": [',
            "{kind: List, apiVersion: v1, items: [",
        ),
    ]
)


@patient
@given(st.text() | st.lists(pieces).map("".join))
@example("[" * 10_000)
@example('{"apiVersion": "v1", "kind": "Odd", "n": 1' + "0" * 10_000 + "}")
def test_any_text_gives_objects_and_mistakes(text: str) -> None:
    objects, mistakes = read_objects(text, source="o")
    for each in objects:
        body = json.loads(each.body)
        assert (body["apiVersion"], body["kind"]) == (each.api_version, each.kind)
    assert all("\n" not in str(mistake) for mistake in mistakes)


def test_three_hundred_pods_are_read_in_reasonable_time(capsys: pytest.CaptureFixture[str]) -> None:
    """Printed and not asserted: a duration is no fact about the code on a busy machine."""
    container = {
        "name": "main",
        "env": [{"name": f"E{number}", "value": str(number)} for number in range(30)],
        "resources": {"requests": {"cpu": "100m", "memory": "1Gi"}, "limits": {"nvidia.com/gpu": 1}},
    }
    pods = [{**POD, "spec": {"containers": [container]}} for _ in range(300)]
    with capsys.disabled():
        for form, text in (
            ("YAML", "---\n".join(yaml.dump(pod) for pod in pods)),
            ("JSON", json.dumps(list_of(*pods), indent=2)),
        ):
            start = time.process_time()
            objects, mistakes = read_objects(text, source="o")
            print(f"\n300 pods in {len(text)} characters of {form}: {time.process_time() - start:.2f} s", end="")  # noqa: T201
            assert (len(objects), mistakes) == (300, ())


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"apiVersion":"v1","kind":"Pod","\xff":1}',
        b'{"apiVersion":"v1","kind":"Pod","spec":' + b"[" * 9_000 + b"]" * 9_000 + b"}",
    ],
    ids=["nothing", "no object", "no UTF-8 in a field that is skipped", "nested beyond reason"],
)
def test_what_is_no_object_in_json_is_an_error(body: bytes) -> None:
    """Everybody may have the view check one, and whoever reads it later takes it for UTF-8."""
    with pytest.raises(msgspec.MsgspecError):
        object_in(body, source="o")
