"""Presets in a policy: the shipped ones by name, changed ones, own ones, and every mistake at its place."""

from __future__ import annotations

import pytest

from webhook.documents.policy_text import PolicyText, read_policy
from webhook.documents.shipped_presets import shipped
from webhook.quota.policy import Policy, SessionCount
from webhook.quota.presets import Preset


def mistakes(text: str) -> list[str]:
    return [str(each) for each in read_policy([PolicyText("policy.yaml", text)]).mistakes]


def policy(*texts: str) -> Policy:
    reading = read_policy(PolicyText(f"{index}.yaml", text) for index, text in enumerate(texts))
    assert reading.mistakes == ()
    assert reading.policy is not None
    return reading.policy


def presets(item: str) -> tuple[Preset, ...]:
    return policy(f"version: 1\nsessions:\n  presets:\n{item}").presets


OWN = """\
    - name: desk
      group: example.com
      kind: Desk
      plural: desks
      versions: [v1]
      user: [{field: spec.user}]
      resources:
        - name: desk
          requests: [{cpu: spec.cpu}]
      pods: [{label: desk, value: name}]
"""


def test_no_preset_is_in_force_unless_the_policy_names_one() -> None:
    assert policy("version: 1").presets == ()


def test_a_shipped_preset_is_named() -> None:
    assert presets("    - kubeflow-notebook\n    - raycluster\n") == (
        shipped("kubeflow-notebook"),
        shipped("raycluster"),
    )


def test_fields_of_a_shipped_preset_are_replaced() -> None:
    [preset] = presets("    - {preset: raycluster, controllers: [ray/operator]}\n")

    assert preset.controllers == ("system:serviceaccount:ray:operator",)
    assert preset.parts == shipped("raycluster").parts


def test_an_own_preset_is_read() -> None:
    [preset] = presets(OWN)

    assert (preset.name, preset.resource, preset.api_versions) == ("desk", "desks.example.com", ("example.com/v1",))


def test_a_note_names_presets_of_workloads_which_are_not_counted_as_sessions() -> None:
    text = "version: 1\nsessions: {presets: [dask, jupyterhub, coder], count: running}"
    reading = read_policy([PolicyText("policy.yaml", text)])

    why = "are not counted as sessions: it has no effect; their pods can be"
    assert [str(each) for each in reading.notes] == [f"policy.yaml:2:40: sessions.presets[2]: deployments.apps {why}"]
    assert reading.policy is not None
    assert reading.policy.session_count is SessionCount.RUNNING


def test_off_is_no_way_to_count() -> None:
    reading = read_policy([PolicyText("policy.yaml", "version: 1\nsessions: {count: none}")])
    assert [str(each) for each in reading.mistakes] == [
        "policy.yaml:2:19: sessions.count: input should be 'all' or 'running'"
    ]


def test_presets_of_several_documents_are_one_list() -> None:
    both = policy("version: 1\nsessions: {presets: [dask]}", "version: 1\nsessions: {presets: [coder]}").presets

    assert [each.name for each in both] == ["dask", "coder"]


def test_a_preset_is_given_once() -> None:
    assert mistakes("version: 1\nsessions:\n  presets:\n    - dask\n    - dask\n") == [
        "policy.yaml:5:7: sessions.presets.dask: already defined at policy.yaml:4"
    ]


# ruff: noqa: ISC004 - messages are long
WRONG: dict[str, tuple[str, str, str]] = {
    "an unknown field": (
        "      user: [",
        "      usr: []\n      user: [",
        "9:7: sessions.presets[0].usr: unknown field",
    ),
    "an unknown field of a part": (
        "          requests",
        "          request: []\n          requests",
        "12:11: sessions.presets[0].resources[0].request: unknown field, did you mean requests?",
    ),
    "a wrong path": (
        "field: spec.user",
        "field: spec..user",
        "9:22: sessions.presets[0].user[0].field: 'spec..user': expected the name of a field",
    ),
    "a path that is a number": (
        "field: spec.user",
        "field: 7",
        "9:22: sessions.presets[0].user[0].field: expected a path such as spec.user",
    ),
    "a wrong expression": (
        "cpu: spec.cpu",
        "cpu: spec.cpu / 2",
        "12:28: sessions.presets[0].resources[0].requests[0].cpu: 'spec.cpu / 2': expected +, * or ??, found '/' at "
        "character 10",
    ),
    "a negative multiplier": (
        "          requests",
        "          times: -2\n          requests",
        "12:18: sessions.presets[0].resources[0].times: '-2': nothing is subtracted, and no number is negative: at",
    ),
    "a multiplier that is true": (
        "          requests",
        "          times: true\n          requests",
        "12:18: sessions.presets[0].resources[0].times: expected an expression such as spec.replicas ?? 1",
    ),
    "a multiplier that is a fraction": (
        "          requests",
        "          times: 1.5\n          requests",
        "12:18: sessions.presets[0].resources[0].times: expected an expression such as spec.replicas ?? 1",
    ),
    "a resource that no container has": (
        "{cpu: spec.cpu}",
        "{cpus: spec.cpu}",
        "12:23: sessions.presets[0].resources[0].requests[0].cpus: cpus is no resource of a container",
    ),
    "a resource of null": (
        "{cpu: spec.cpu}",
        "{cpu: }",
        "sessions.presets[0].resources[0].requests[0].cpu: expected an expression such as spec.replicas ?? 1",
    ),
    "no user": (
        "[{field: spec.user}]",
        "[]",
        "9:13: sessions.presets[0].user: expected at least one",
    ),
    "a user in two places": (
        "{field: spec.user}",
        "{field: spec.user, label: a}",
        "9:14: sessions.presets[0].user[0]: expected one of field, annotation, label",
    ),
    "a requester who is not the last": (
        "[{field: spec.user}]",
        "[{requester: true}, {field: spec.user}]",
        "4:7: sessions.presets[0]: requester is the last of user",
    ),
    "a pattern with two stars": (
        "{field: spec.user}",
        '{field: spec.user, pattern: "(*+)*"}',
        "9:42: sessions.presets[0].user[0].pattern: expected a text with one *",
    ),
    "no version": ("[v1]", "[]", "8:17: sessions.presets[0].versions: expected at least one"),
    "a version with its group": (
        "[v1]",
        "[example.com/v1]",
        "8:18: sessions.presets[0].versions[0]: expected a version",
    ),
    "a kind that is none": ("kind: Desk", "kind: desks", "6:13: sessions.presets[0].kind: expected a kind such as"),
    "no pods": (
        "      pods: [{label: desk, value: name}]\n",
        "",
        "4:7: sessions.presets[0]: pods: say how its pods are known",
    ),
    "a path inside a pod template": (
        "          requests: [{cpu: spec.cpu}]",
        "          podTemplate: spec.template\n          times: spec.template.spec.count",
        "4:7: sessions.presets[0]: spec.template.spec.count is inside a pod template",
    ),
    "a key of a map inside the pod templates of all": (
        "          requests: [{cpu: spec.cpu}]",
        "          each: spec.r[*]\n          podTemplate: template\n          times: $.spec.r.a.template.spec.x",
        "4:7: sessions.presets[0]: a path lies inside a pod template",
    ),
    "a group that is none": (
        "group: example.com",
        "group: Example",
        "5:14: sessions.presets[0].group: expected",
    ),
    "an operator without values": (
        "      pods",
        "      stopped: [{field: spec.paused, operator: In}]\n      pods",
        "13:17: sessions.presets[0].stopped[0].all[0]: operator In needs values",
    ),
    "an unknown operator": (
        "      pods",
        "      match: [{field: spec.paused, operator: Like, values: [a]}]\n      pods",
        "13:46: sessions.presets[0].match[0].operator: input should be",
    ),
    "a value that is a fraction": (
        "      pods",
        "      match: [{field: spec.paused, operator: In, values: [1.5]}]\n      pods",
        "13:59: sessions.presets[0].match[0].values[0]: expected a text, a whole number, true or false",
    ),
    "a kind of Kubernetes without match": (
        "group: example.com\n      kind: Desk\n      plural: desks",
        "group: apps\n      kind: Deployment\n      plural: deployments",
        "4:7: sessions.presets[0]: not all deployments.apps are sessions: write match",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_mistake_in_a_preset_is_told_with_its_place(name: str) -> None:
    old, new, told = WRONG[name]
    assert old in OWN

    found = mistakes(f"version: 1\nsessions:\n  presets:\n{OWN.replace(old, new, 1)}")

    assert len(found) == 1
    assert told in found[0]


@pytest.mark.parametrize(
    ("item", "told"),
    [
        ("kubeflow-notebok", "unknown session preset kubeflow-notebok, did you mean kubeflow-notebook?"),
        ("{preset: nothing}", "unknown session preset nothing; known are argo-workflow, coder"),
        ("{preset: 7}", "expected the name of a shipped preset"),
        ("7", "expected fields, each with a value"),
    ],
)
def test_a_preset_that_is_not_shipped_is_told(item: str, told: str) -> None:
    [found] = mistakes(f"version: 1\nsessions: {{presets: [{item}]}}")

    assert found.startswith("policy.yaml:2:22: sessions.presets[0]: ")
    assert told in found
