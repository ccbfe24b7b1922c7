"""Field selectors: what is written is read as the same, and nothing else is read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.view.field_selector import FieldSelectorError, read_fields, write_fields

KNOWN = ("status.owner", "status.resource")

READ = {
    "": {},
    "status.owner=alice": {"status.owner": "alice"},
    "status.owner==alice,status.resource=pods": {"status.owner": "alice", "status.resource": "pods"},
    "status.owner=alice,": {"status.owner": "alice"},
    r"status.owner=a\,b\=c\\d": {"status.owner": r"a,b=c\d"},
}
WRONG = [
    "status.owner",
    "status.owner=",
    "status.owner!=alice",
    "status.owner===alice",
    "status.state=used",
    "status.owner=a,status.owner=b",
    "status.owner=a=b",
    r"status.owner=a\x",
    "status.owner=a\\",
    ",status.owner=a",
    "=a",
]


@pytest.mark.parametrize(("text", "fields"), READ.items())
def test_fields_are_read(text: str, fields: dict[str, str]) -> None:
    assert read_fields(text, KNOWN) == fields


@pytest.mark.parametrize("text", WRONG)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(FieldSelectorError):
        read_fields(text, KNOWN)


@given(st.dictionaries(st.sampled_from(KNOWN), st.text(min_size=1) | st.text("\\,=\n", min_size=1)))
def test_what_is_written_is_read_as_the_same(fields: dict[str, str]) -> None:
    assert read_fields(write_fields(fields), KNOWN) == fields
