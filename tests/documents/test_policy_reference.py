"""
The tables of a policy's fields in the documents are what its models say.

RECORD=1 writes them anew.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.documents import policy_reference
from webhook.documents.policy_json_schema import policy_json_schema

DOCS = Path(__file__).parent.parent.parent / "docs"
SCHEMA = policy_json_schema()
MARKED = {path.name: policy_reference.marked_in(path.read_text()) for path in sorted(DOCS.glob("*.md"))}
ALL_MARKED = [name for names in MARKED.values() for name in names]
COMMAND = "RECORD=1 .venv/bin/python -m pytest tests/documents/test_policy_reference.py"


@pytest.mark.parametrize("document", [name for name, marked in MARKED.items() if marked])
def test_the_tables_are_what_the_models_say(document: str) -> None:
    text = (DOCS / document).read_text()
    made = policy_reference.written(text, SCHEMA, ALL_MARKED)
    if os.environ.get("RECORD"):
        (DOCS / document).write_text(made)
    elif made != text:
        pytest.fail(f"docs/{document} does not tell the fields as the models do: {COMMAND}")


def test_every_field_of_a_policy_is_in_a_table() -> None:
    assert len(ALL_MARKED) == len(set(ALL_MARKED))
    assert policy_reference.untold(SCHEMA, ALL_MARKED) == set()


def test_every_link_belongs_to_a_field() -> None:
    assert policy_reference.links_without_a_field(SCHEMA, ALL_MARKED) == set()
