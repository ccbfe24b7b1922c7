"""What a policy says of its classes of nodes, and of all others at once."""

from __future__ import annotations

import pytest

from webhook.documents.policy_text import PolicyReading, PolicyText, read_policy
from webhook.quota.policy import Mode, Policy

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
