"""A list of commitments, each read by itself."""

from __future__ import annotations

import pytest

from webhook.documents.commitment_text import CommitmentTextError, read_listed
from webhook.quota.quantity import NANOS

NO_NUMBER = "stdin:2:13: generation: expected a whole number from 1 to 9223372036854775807"
GOOD = "{tenant: research, nodeClass: h100, zone: a, amounts: {gpu: 8}}"


def test_a_bad_entry_is_told_at_its_line_and_leaves_the_others() -> None:
    found = read_listed(f"version: 1\ncommitments:\n  c-1: {GOOD}\n  c-2: {{tenant: research}}\n", source="broker.yaml")
    assert {name: each.amounts for name, each in found.commitments.items()} == {"c-1": {"gpu": 8 * NANOS}}
    assert list(found.mistakes) == ["c-2"]
    assert found.mistakes["c-2"].startswith("broker.yaml:4: nodeClass: this field is required")


def test_an_entry_in_units_is_left_out_because_a_list_has_no_classes() -> None:
    text = f"commitments:\n  c-1: {GOOD}\n  c-2: {GOOD.replace('amounts: {gpu: 8}', 'units: 8')}\n"
    found = read_listed(text, source="b.yaml")
    assert list(found.commitments) == ["c-1"]
    assert found.mistakes == {"c-2": "b.yaml:3: units: only a policy knows what a unit is: give amounts"}


def test_a_list_in_json_is_read_as_well() -> None:
    text = '{"commitments": {"c-1": {"user": "alice", "nodeClass": "h100", "amounts": {"gpu": "8"}}}}'
    assert list(read_listed(text, source="stdin").commitments) == ["c-1"]


def test_a_list_may_say_its_generation() -> None:
    assert read_listed("generation: 7\ncommitments: {}", source="stdin").generation == 7
    assert read_listed("commitments: {}", source="stdin").generation == 0


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "stdin: expected one document with commitments, by name"),
        ("commitments: [a]", "stdin: expected one document with commitments, by name"),
        ("version: 1", "stdin: expected one document with commitments, by name"),
        (f"commitments:\n  c-1: {GOOD}\n  c-1: {GOOD}\n", "stdin:3:3: commitments.c-1: "),
        (f"commitments:\n  c-1: {GOOD}\n  c-2: {{tenant: resea", "stdin:3:"),
        (
            "commitments: {}\ngeneration: x",
            "stdin:2:13: generation: expected a whole number from 1 to 9223372036854775807",
        ),
        (
            "commitments: {}\ngeneration: 0",
            "stdin:2:13: generation: expected a whole number from 1 to 9223372036854775807",
        ),
        (
            "commitments: {}\ngeneration: yes",
            "stdin:2:13: generation: expected a whole number from 1 to 9223372036854775807",
        ),
        ("commitments: {}\ngeneration: 9223372036854775808", NO_NUMBER),
        (
            "commitments: {}\ngeneration: [1]",
            "stdin:2:13: generation: expected a whole number from 1 to 9223372036854775807",
        ),
    ],
    ids=[
        "nothing",
        "a list",
        "no commitments",
        "one name twice",
        "cut short",
        "a word",
        "0",
        "a bool",
        "too many",
        "a sequence",
    ],
)
def test_what_is_no_such_list_is_told_as_a_whole(text: str, why: str) -> None:
    with pytest.raises(CommitmentTextError) as caught:
        read_listed(text, source="stdin")
    assert why in str(caught.value)
