"""Which ConfigMaps of a file are policies, and that a mistake in one is told at its line in the file."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial

import pytest

from webhook.documents.policy_manifests import read_manifests
from webhook.documents.policy_text import PolicyText, read_policy

CONFIG_MAP = """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: limits
  labels: {userquota.dev/policy: "true"}
data:
  policy.yaml: |
    version: 1

    users:
      alice: {hard: {cpu: 1}}
      bob: {hard: {cpu: 1K}}
"""
DEPLOYMENT = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: &spec {a: 1}\n"
WHY = "users.bob.hard.cpu: invalid quantity '1K': unknown suffix 'K', did you mean k or Ki?"


def told(text: str, *named: str) -> tuple[list[str], list[str]]:
    """Return the mistakes of the policies and of the manifests, and what is passed over."""
    found = read_manifests(text, source="f", named=frozenset(named))
    assert found is not None
    mistakes = (*found.mistakes, *read_policy(found.texts).mistakes)
    return [str(each) for each in mistakes], [str(each) for each in found.passed_over]


def test_a_mistake_is_told_at_its_line_in_the_manifest() -> None:
    assert told(CONFIG_MAP) == ([f"f:12:25: {WHY}"], [])


@pytest.mark.parametrize("header", ["|", "|-", "|+", "| # the policy", "|2"])
@pytest.mark.parametrize("line_break", ["\n", "\r\n"], ids=["LF", "CRLF"])
def test_it_is_so_for_every_literal_block(header: str, line_break: str) -> None:
    text = CONFIG_MAP.replace("|\n", f"{header}\n")
    expected = f"f:12:25: {WHY}"
    assert told(text.replace("\n", line_break))[0] == [expected]


def test_a_block_with_several_documents_has_its_own_lines() -> None:
    text = CONFIG_MAP.replace("    users:", "    ---\n    version: 1\n    users:")
    assert told(text)[0] == [f"f: limits/policy.yaml:7:21: {WHY}"]


@pytest.mark.parametrize("dump", [json.dumps, partial(json.dumps, indent="\t")])
def test_a_text_in_quotes_has_its_own_lines(dump: Callable[[object], str]) -> None:
    policy = "version: 1\nusers:\n  bob: {hard: {cpu: 1K}}\n"
    found = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "limits", "labels": {"userquota.dev/policy": "true"}},
        "data": {"policy.yaml": policy},
    }
    assert told(dump(found))[0] == [f"f: limits/policy.yaml:3:21: {WHY}"]


def test_several_documents_and_lists_are_looked_through() -> None:
    items = "\n".join(f"  {line}".rstrip() for line in CONFIG_MAP.splitlines()).replace(
        "  apiVersion", "- apiVersion", 1
    )
    text = f"{DEPLOYMENT}---\n# nothing\n---\napiVersion: v1\nkind: List\nitems:\n{items}\n"
    assert told(text) == ([f"f:22:27: {WHY}"], ["f:1:1: Deployment web: no ConfigMap"])


def test_items_of_a_list_of_config_maps_need_no_type() -> None:
    item = {"metadata": {"name": "a", "labels": {"userquota.dev/policy": "true"}}, "data": {"p": "version: 2"}}
    text = json.dumps({"apiVersion": "v1", "kind": "ConfigMapList", "items": [item]})
    assert told(text)[0] == ["f: a/p:1:10: version: expected version: 1, the only one this release reads"]


def test_two_policies_of_one_file_are_one_policy() -> None:
    good = CONFIG_MAP.replace("1K", "1")
    text = f"{good}---\n{good.replace('name: limits', 'name: others')}"
    assert told(text)[0] == [
        "f:24:14: users.alice: already defined at f:11",
        "f:25:12: users.bob: already defined at f:12",
    ]


LABEL = 'labels: {userquota.dev/policy: "true"}'


@pytest.mark.parametrize(
    ("label", "why"),
    [
        ("labels: {}", "missing"),
        ("annotations: {a: b}", "missing"),
        ('labels: {userquota.dev/policy: "yes"}', "yes, not true"),
    ],
)
def test_a_config_map_without_the_label_is_passed_over_unless_it_is_named(label: str, why: str) -> None:
    text = CONFIG_MAP.replace(LABEL, label)
    assert told(text) == ([], [f"f:1:1: ConfigMap limits: the label userquota.dev/policy is {why}"])
    assert told(text, "limits") == ([f"f:12:25: {WHY}"], [])
    in_a_namespace = text.replace("  name: limits", "  namespace: a\n  name: limits")
    assert told(in_a_namespace, "a/limits") == ([f"f:13:25: {WHY}"], [])
    assert told(in_a_namespace, "b/limits", "other")[0] == []


NOT_RENDERED = "this is a template: render it first, as with helm template"


@pytest.mark.parametrize(
    ("before", "after", "mistake"),
    [
        (
            LABEL,
            "labels: {userquota.dev/policy: true}",
            '5:34: metadata.labels[userquota.dev/policy]: a label is text: write "true" in quotes',
        ),
        (
            "policy.yaml: |",
            "policy.yaml:",
            "8:5: data[policy.yaml]: expected text: write policy.yaml: | and the policy below",
        ),
        (
            "\ndata:",
            "\nbinaryData:",
            "7:3: binaryData[policy.yaml]: it is in binaryData, where no policy is read: move it to data",
        ),
        ("\ndata:", "\ndate:", "1:1: data: it has no text: a policy stands in data"),
        ("  name", "\tname", "4:1: a tab cannot stand here: indent with spaces"),
        (
            "name: limits",
            "name: limits\n  name: b",
            '5:3: metadata.name: the key "name" is given twice, first at line 4, column 3',
        ),
        ("name: limits", "name: {{ .Release.Name }}", f"4:9: {NOT_RENDERED}"),
        ("      bob", "      {{- if .Values.bob }}\n      bob", f"12:7: {NOT_RENDERED}"),
    ],
)
def test_a_mistake_in_a_manifest_is_told_once(before: str, after: str, mistake: str) -> None:
    text = CONFIG_MAP.replace("1K", "1").replace(before, after, 1)
    found = read_manifests(text, source="f", named=frozenset())
    if found is not None:
        assert told(text)[0] == [f"f:{mistake}"]
    else:  # so broken that nothing tells what it was to be
        assert [str(each) for each in read_policy([PolicyText("f", text)]).mistakes] == [f"f:{mistake}"]


def test_an_empty_text_is_told_at_its_place() -> None:
    text = CONFIG_MAP.partition("    version")[0] + "    # version: 1\n"
    assert told(text)[0] == ["f:7:16: no policy in it; one that limits nobody says version: 1"]


def test_what_is_no_object_beside_objects_is_a_mistake() -> None:
    assert told(f"{DEPLOYMENT}---\nversion: 1\n")[0] == [
        "f:6:1: this is no Kubernetes object: it has no apiVersion and kind"
    ]


@pytest.mark.parametrize(
    "text",
    [
        "version: 1\nsessions:\n  presets:\n    - match:\n        apiVersion: a/v1\n        kind: B\n",
        "version: 1\nkind: pod\n",
        "{version: 1}",
        "",
        "- a",
        "x",
    ],
)
def test_a_text_without_objects_is_left_to_be_read_as_a_policy(text: str) -> None:
    assert read_manifests(text, source="f", named=frozenset()) is None


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("replicas: 3\nimage: web\n", "f:1:1: this is no policy: it has none of its fields, and no version: 1"),
        (
            "{{- if .Values.x }}\nversion: 1\n{{- end }}\n",
            "f:1:1: this is a template: render it first, as with helm template",
        ),
        (
            "version: 1\nusers: {{ .Values.users }}\n",
            "f:2:8: this is a template: render it first, as with helm template",
        ),
        ("# {{ a }}\nversion: 2\n", "f:2:10: version: expected version: 1, the only one this release reads"),
        ("apiVersion: v1\nkind: ConfigMap\n", "f:1:1: this is a Kubernetes object, not the text of a policy"),
        ("Version: 1\n", "f:1:1: Version: unknown field, did you mean version?"),
    ],
)
def test_a_text_that_is_no_policy_is_told_for_what_it_is(text: str, mistake: str) -> None:
    assert str(read_policy([PolicyText("f", text)]).mistakes[-1]) == mistake


def test_a_template_in_a_comment_or_a_valid_name_is_none() -> None:
    text = 'version: 1 # {{ a }}\nusers: {"{{a}}": {hard: {cpu: 1}}}\n'
    assert read_policy([PolicyText("f", text)]).mistakes == ()
