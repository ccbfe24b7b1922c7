"""Label selectors: what they select, as kubectl reads them, and that nothing else is read."""

from __future__ import annotations

import pytest

from webhook.quota.tags import Tags
from webhook.view.label_selector import LabelSelectorError, Term, read_terms, selects

ML: Tags = (("team", "ml"), ("example.com/cost-center", "7"))
EMPTY: Tags = (("team", ""),)
NONE: Tags = ()

SELECTED: dict[str, list[Tags]] = {
    "": [ML, EMPTY, NONE],
    "team=ml": [ML],
    "team == ml": [ML],
    "team!=ml": [EMPTY, NONE],
    "team=": [EMPTY],
    "team": [ML, EMPTY],
    "!team": [NONE],
    "team,! example.com/cost-center": [EMPTY],
    "team=ml,example.com/cost-center=7": [ML],
    "team=ml,example.com/cost-center=8": [],
    "team in (ml, web)": [ML],
    "team in (web,)": [EMPTY],
    "team notin (ml)": [EMPTY, NONE],
    "team notin (ml),team": [EMPTY],
    " team , team!=web ": [ML, EMPTY],
}
WRONG = [
    ",",
    "team=ml,",
    "team=ml;app=x",
    "team=a=b",
    "=ml",
    "!",
    "!team=ml",
    "team in ml",
    "team in (ml",
    "team in (m l)",
    "team in (ml))",
    "teamin(ml) x",
    "team=m/l",
    "team=ü",
    "tëam",
    "team\0",
    "a" * 318,
    "team=" + "a" * 2048,
]


@pytest.mark.parametrize(("text", "selected"), SELECTED.items())
def test_all_conditions_have_to_hold(text: str, selected: list[Tags]) -> None:
    terms = read_terms(text)

    assert [each for each in (ML, EMPTY, NONE) if selects(terms, each)] == selected


@pytest.mark.parametrize("text", WRONG)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(LabelSelectorError):
        read_terms(text)


def test_each_condition_names_its_tag() -> None:
    """So that one on a label that is no tag can be told."""
    assert read_terms("a=1,!b,c notin (2)") == (
        Term("a", frozenset({"1"})),
        Term("b", None, is_excluded=True),
        Term("c", frozenset({"2"}), is_excluded=True),
    )
