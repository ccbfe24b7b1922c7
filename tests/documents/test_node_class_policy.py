"""What a policy says of its classes of nodes, and of all others at once."""

from __future__ import annotations

from fractions import Fraction

import pytest

from webhook.documents.policy_text import PolicyReading, PolicyText, read_policy
from webhook.quota.policy import Hard, Mode, Policy, Unlimited
from webhook.quota.quantity import NANOS
from webhook.quota.shapes import Shape

UNIT = "unit: {cpu: 8, memory: 2032Mi, gpu: 1/3}"
TENANT = "tenants: {research: {namespaces: {matchLabels: {team: research}}}}\n"


def reading(classes: str, *others: str) -> PolicyReading:
    text = f"version: 1\nnodeClasses:\n{classes.rstrip()}\n{TENANT}{''.join(others)}"
    return read_policy([PolicyText("policy.yaml", text)])


def policy(classes: str, *others: str) -> Policy:
    found = reading(classes, *others)
    assert found.policy is not None, found.mistakes
    return found.policy


def a_class(name: str, said: str = "") -> str:
    return f"  {name}: {{nodes: {{matchLabels: {{gpu: {name}}}}}, devices: [nvidia.com/gpu]{said}}}\n"


def commitments(*written: str) -> str:
    return "commitments:\n" + "".join(f"  c-{number}: {each}\n" for number, each in enumerate(written))


OF_A100 = "{tenant: research, nodeClass: a100, amounts: {gpu: 1}}"


def test_a_class_says_for_itself_or_as_all_others_whether_it_takes_commitments() -> None:
    absent = policy(a_class("h100"), commitments(OF_A100.replace("a100", "h100")))
    assert absent.terms_of("h100").takes_commitments
    assert absent.class_entry("h100").mode is Mode.ENFORCE

    others = '  "*": {commitments: false, mode: audit}\n'
    found = policy(a_class("h100", ", commitments: true") + a_class("a100") + a_class("v100", ", mode: warn") + others)
    assert {each: found.terms_of(each).takes_commitments for each in found.node_classes.names} == {
        "h100": True,
        "a100": False,
        "v100": False,
    }
    assert [found.class_entry(each).mode for each in found.node_classes.names] == [Mode.AUDIT, Mode.AUDIT, Mode.WARN]


def test_a_commitment_of_a_class_that_takes_none_is_a_mistake_until_it_is_over() -> None:
    classes, planned = a_class("a100", ", commitments: false"), OF_A100.replace("amounts", "state: planned, amounts")
    over = OF_A100.replace("amounts", "state: expired, amounts")
    assert [str(each) for each in reading(classes, commitments(OF_A100, planned, over)).mistakes] == [
        (
            f"policy.yaml:{line}:38: commitments.c-{number}.nodeClass: a100 takes no commitments, as nodeClasses.a100 "
            "at policy.yaml:3 says"
        )
        for number, line in enumerate((6, 7))
    ]
    assert policy(classes, commitments(over)).commitments.every


@pytest.mark.parametrize(
    ("classes", "mistake"),
    [
        (a_class("a", ", commitments: 0"), "3:79: nodeClasses.a.commitments: expected true or false"),
        ('  "*": {commitment: false}', "3:9: nodeClasses[*].commitment: unknown field, did you mean commitments?"),
        ('  "*": {default: true}', "3:9: nodeClasses[*].default: unknown field; known are mode, commitments"),
        ('  "**": {}', "3:3: nodeClasses[**]: expected a name of small letters, digits, - and ., as in h100"),
    ],
)
def test_a_mistake_in_a_switch_is_told_at_its_place(classes: str, mistake: str) -> None:
    [found] = reading(classes).mistakes
    assert str(found).startswith(f"policy.yaml:{mistake}")


def test_units_come_to_exact_amounts_whichever_text_has_the_class() -> None:
    classes = f"version: 1\nnodeClasses:\n{a_class('h100', f', {UNIT}')}"
    promised = f"version: 1\n{TENANT}commitments: {{c-1: {{tenant: research, nodeClass: h100, units: 3}}}}"
    for names in ("ab", "ba"):
        texts = [PolicyText(f"{name}.yaml", text) for name, text in zip(names, (classes, promised), strict=True)]
        found = read_policy(texts)
        assert found.policy is not None, found.mistakes
        [commitment] = found.policy.commitments.every
        assert commitment.amounts == {"requests.cpu": 24 * NANOS, "requests.memory": 6096 * 2**20 * NANOS, "gpu": NANOS}
        assert type(commitment.amounts["gpu"]) is int
        assert found.policy.commitments.resources == {"requests.cpu", "requests.memory", "gpu"}
        assert not found.notes


def limited(said: str, selected: str = "{scopeName: NodeClass, operator: In, values: [h100]}") -> str:
    return f"users: {{alice: {{scoped: [{{scopeSelector: {{matchExpressions: [{selected}]}}, {said}}}]}}}}\n"


@pytest.mark.parametrize(
    ("units", "hard"),
    [
        ("2", {"requests.cpu": 16 * NANOS, "requests.memory": 4064 * 2**20 * NANOS, "gpu": Fraction(2, 3) * NANOS}),
        ("0", {"requests.cpu": 0, "requests.memory": 0, "gpu": 0}),
        ("unlimited", dict.fromkeys(("requests.cpu", "requests.memory", "gpu"), Unlimited.UNLIMITED)),
    ],
)
def test_a_limit_on_one_class_may_be_a_number_of_units(units: str, hard: dict[str, Hard]) -> None:
    [entry] = policy(a_class("h100", f", {UNIT}"), limited(f"units: {units}")).users["alice"].scoped
    assert entry.hard == hard


def test_a_broker_does_not_limit_what_units_limit_already() -> None:
    tenant = TENANT.rstrip("}\n") + "}}, " + limited("units: 1").partition("{alice: {")[2].rstrip("\n")
    text = f"version: 1\nnodeClasses:\n{a_class('h100', f', {UNIT}')}{tenant}\n"
    quotas = "brokerQuotas: {research: {h100: {gpu: 8}}}\n"
    assert [each.message for each in read_policy([PolicyText("p.yaml", text + quotas)]).mistakes] == [
        "tenants.research.scoped[0] at p.yaml:4 limits gpu of the same already"
    ]


ONE_MORE = "{scopeName: NodeClass, operator: In, values: [h100, a100]}"


@pytest.mark.parametrize(
    ("written", "mistake"),
    [
        (commitments("{tenant: research, nodeClass: a100, units: 3}"), "commitments.c-0.units: a100 has no unit: "),
        (
            limited("units: 3").replace("h100", "a100"),
            "users.alice.scoped[0].units: a100 has no unit: nodeClasses.a100",
        ),
        (limited("units: 3").replace("h100", "v100"), "users.alice.scoped[0].scopeSelector.matchExpressions[0]"),
        (limited("units: 3, hard: {gpu: 1}"), "users.alice.scoped[0]: hard and units both say how much"),
        (limited("units: 3", ONE_MORE), "users.alice.scoped[0]: units are those of a class: select one by NodeClass"),
        (
            limited("units: 3", "{scopeName: NodeClass, operator: Exists}"),
            "users.alice.scoped[0]: units are those of a",
        ),
        (
            limited("units: -1"),
            "users.alice.scoped[0].units: expected a number of units from 0 to 1000000, or the word",
        ),
        (limited("units: 1.5"), "users.alice.scoped[0].units: expected a number of units"),
        (limited("unit: 1"), "users.alice.scoped[0].unit: unknown field, did you mean units?"),
        (commitments("{tenant: research, nodeClass: h100}"), "commitments.c-0: expected one of amounts, units"),
        (
            commitments("{tenant: research, nodeClass: h100, units: 1, amounts: {gpu: 1}}"),
            "commitments.c-0: expected one of amounts, units: how much was promised",
        ),
        (commitments("{tenant: research, nodeClass: h100, units: 0}"), "commitments.c-0.units: expected a number of"),
        (commitments("{tenant: research, nodeClass: h100, units: unlimited}"), "commitments.c-0.units: expected a num"),
        (commitments("{tenant: research, nodeClass: h100, units: '3'}"), "commitments.c-0.units: expected a number of"),
    ],
)
def test_a_mistake_in_units_is_told_at_its_place(written: str, mistake: str) -> None:
    [found] = reading(a_class("h100", f", {UNIT}") + a_class("a100"), written).mistakes
    assert str(found).partition(": ")[2].startswith(mistake)
    assert found.position.line == (7 if written.startswith("commitments") else 6)


@pytest.mark.parametrize(
    ("unit", "mistake"),
    [
        ("{gpu: 0}", "gpu: expected an amount above 0"),
        ("{gpu: unlimited}", "gpu: expected an amount above 0"),
        ("{sessions: 1}", "sessions is nothing that nodes have"),
        ("{limits.cpu: 1}", "limits.cpu is nothing that nodes have"),
        ("{cpu: 1, requests.cpu: 2}", "requests.cpu is given twice, under its short and its full name"),
    ],
)
def test_a_unit_is_made_of_what_nodes_have(unit: str, mistake: str) -> None:
    [found] = reading(a_class("h100", f", unit: {unit}")).mistakes
    assert (found.path, found.message, found.position.column) == ("nodeClasses.h100.unit", mistake, 78)


def test_what_is_no_whole_number_of_units_is_noted() -> None:
    written = commitments(
        "{tenant: research, nodeClass: h100, amounts: {cpu: 20, gpu: 2/3, memory: 2032Mi, nvidia.com/gpu: 7}}",
        "{tenant: research, nodeClass: h100, amounts: {cpu: 16, gpu: 5, memory: 1Gi}}",
        "{tenant: research, nodeClass: h100, amounts: {cpu: 20}, state: expired}",
        "{tenant: research, nodeClass: a100, amounts: {cpu: 20}}",
    )
    one = "one is gpu=1/3,requests.cpu=8,requests.memory=2032Mi"
    assert [str(each) for each in reading(a_class("h100", f", {UNIT}") + a_class("a100"), written).notes] == [
        ("policy.yaml:7:53: commitments.c-0.amounts: no whole number of units: requests.cpu=20; " + one),
        ("policy.yaml:8:53: commitments.c-1.amounts: no whole number of units: requests.memory=1Gi; " + one),
    ]
    [odd] = reading(a_class("h100", ", unit: {memory: 500m}")).notes
    assert str(odd) == "policy.yaml:3:87: nodeClasses.h100.unit.memory: 500m is less than one byte, did you mean 500M?"


def test_a_shape_is_the_ratio_of_the_unit_without_its_pods() -> None:
    said = ", unit: {cpu: 8, pods: 10, gpu: 1/2}, shape: fixed"
    found = policy(a_class("h100", said) + a_class("a100", f"{said}, tolerance: 5%") + a_class("v100", f", {UNIT}"))
    assert found.terms_of("h100").shape == Shape((("gpu", NANOS // 2), ("requests.cpu", 8 * NANOS)))
    assert found.shapes == {
        "h100": found.terms_of("h100").shape,
        "a100": Shape((("gpu", NANOS // 2), ("requests.cpu", 8 * NANOS)), Fraction(1, 20)),
    }
    assert found.judges_specs
    assert not policy(a_class("v100", f", {UNIT}")).judges_specs


@pytest.mark.parametrize(
    ("said", "mistake"),
    [
        (", shape: fixed", "nodeClasses.h100: shape: fixed needs a unit with two resources or more"),
        (", shape: fixed, unit: {gpu: 1, pods: 1}", "nodeClasses.h100: shape: fixed needs a unit with two resources"),
        (f", {UNIT}, tolerance: 5%", "nodeClasses.h100: tolerance is that of shape: fixed"),
        (f", {UNIT}, shape: fixed, tolerance: 0.05", "nodeClasses.h100.tolerance: expected a share from 1% to 100%"),
        (f", {UNIT}, shape: fixd", "nodeClasses.h100.shape: input should be 'any' or 'fixed'"),
        (f", {UNIT}, shap: fixed", "nodeClasses.h100.shap: unknown field, did you mean shape?"),
    ],
)
def test_a_mistake_in_a_shape_is_told_at_its_place(said: str, mistake: str) -> None:
    [found] = reading(a_class("h100", said)).mistakes
    assert str(found).partition(": ")[2].startswith(mistake)
    assert found.position.line == 3
