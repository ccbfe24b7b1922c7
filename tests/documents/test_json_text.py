import json
import re
import string
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from webhook.documents.json_text import read_stream
from webhook.documents.mistake import Position
from webhook.documents.tree import Document, Field, Mapping, Scalar, Sequence, plain

patient = settings(deadline=None)


def read(text: str) -> list[Document]:
    return list(read_stream(text, source="o.json"))


def mistakes_in(text: str) -> list[str]:
    return [str(mistake) for document in read(text) for mistake in document.mistakes]


def test_a_tree_keeps_what_was_written_and_stands_where_the_value_begins() -> None:
    at = Position(2, 1)
    items = Sequence((Scalar(0.1, "0.10", at), Scalar("a\n", "a\n", at), Scalar(True, "true", at)), at)
    root = Mapping({"items": Field("items", at, items, "items")}, at)
    assert read('{}\n{\n"items": [0.10, "a\\n", true]}')[1:] == [Document(root, ())]


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([], " \n"),
        ([{}, []], "{}[]"),
        ([{"a": 1}, {"b": None}], '{"a": 1}\n{"b": null}\n'),
        ([{"a": 1}], '\ufeff{"a":1}'),
        ([{"😀": "é/"}], '{"\\ud83d\\ude00": "\\u00e9\\/"}'),
    ],
    ids=[
        "nothing",
        "values without space between",
        "lines",
        "a byte order mark in front",
        "escapes",
    ],
)
def test_gives_the_values_in_order(values: list[Any], text: str) -> None:
    documents = read(text)
    assert [plain(document.root) for document in documents if document.root] == values
    assert mistakes_in(text) == []


@pytest.mark.parametrize(
    "number", ["1e400", "0.10", "-0", "-0.0", "1E+3", "123456789012345678901234567890", "9" * 400, "0." + "1" * 398]
)
def test_a_number_keeps_its_digits(number: str) -> None:
    [document] = read(number)
    assert isinstance(document.root, Scalar)
    assert document.root.text == number


REFUSED = {
    "no value": ('{"a": }', "o.json:1:7: this is no JSON: Expecting value"),
    "an end in the middle": ('{"a": [1,', "o.json:1:10: this is no JSON: Expecting value"),
    "a comma too many": ('{"a": 1,}', "o.json:1:9: this is no JSON: Expecting property name enclosed in double quotes"),
    "a comma too few": ('{"a": 1\n "b": 2}', "o.json:2:2: this is no JSON: Expecting ',' delimiter"),
    "a key without quotes": (
        "{a: 1}",
        "o.json:1:2: this is no JSON: Expecting property name enclosed in double quotes",
    ),
    "something behind the value": ('{"a": 1} x', "o.json:1:10: this is no JSON: Expecting value"),
    "a control character in a string": ('["\x01"]', "o.json:1:3: this is no JSON: Invalid control character at"),
    "an unknown escape": ('["\\x41"]', "o.json:1:3: this is no JSON: Invalid \\escape"),
    "NaN": ("\n[NaN]", "o.json:2:1: NaN is no JSON number"),
    "infinity": ("[-Infinity]", "o.json:1:1: -Infinity is no JSON number"),
    "half of a surrogate pair, escaped": (
        '{"a": "\\ud83d"}',
        "o.json:1:1: half of a surrogate pair is no character",
    ),
    "half of a surrogate pair in a key": ('{"\ud83d": 1}', "o.json:1:1: half of a surrogate pair is no character"),
    "a key given twice": ('{}\n{"a": {"b": 1,\n"b": 2}}', 'o.json:2:1: the key "b" is given twice'),
    "a key given twice, once with an escape": ('{"a": 1, "\\u0061": 2}', 'o.json:1:1: the key "a" is given twice'),
    "too many lists in each other": ("[" * 65 + "]" * 65, "o.json:1:1: nested deeper than 64 levels"),
    "too many objects in each other": ('{"a":' * 65 + "1" + "}" * 65, "o.json:1:1: nested deeper than 64 levels"),
    "far too many lists in each other": ("[" * 100_000, "o.json:1:1: nested deeper than 64 levels"),
}


@pytest.mark.parametrize(("text", "mistake"), REFUSED.values(), ids=REFUSED)
def test_the_first_mistake_is_told_with_the_place_of_its_value(text: str, mistake: str) -> None:
    assert mistakes_in(text) == [mistake]


def test_a_number_that_is_too_long_to_convert_is_a_mistake() -> None:
    [mistake] = mistakes_in("1" * 10**6)
    assert mistake.startswith("o.json:1:1: ")


def test_as_many_levels_as_are_allowed_are_read() -> None:
    [document] = read("[" * 64 + "]" * 64)
    assert document.mistakes == ()


json_pieces = st.sampled_from(
    [
        *'{}[],:" \n\\-+.eE019a\x00',
        '"a"',
        '"a": ',
        "true",
        "null",
        "NaN",
        "-Infinity",
        "12",
        "1e5",
        '"\\u00e9"',
        "\ud800",
    ]
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(string.printable), children, max_size=4),
)


class ForeignNumberError(Exception):
    """NaN or an infinity, which Python reads and JSON does not know."""


def refuse(word: str) -> None:
    raise ForeignNumberError(word)


@patient
@given(st.lists(json_pieces, max_size=12).map("".join) | json_values.map(json.dumps) | st.text())
@example("[" * 100_000)
def test_takes_what_python_takes_but_for_doubled_keys_and_foreign_numbers(text: str) -> None:
    documents = read(text)
    is_one = len(documents) == 1 and documents[0].root is not None and not documents[0].mistakes
    seen = []

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        seen.append([key for key, _ in pairs])
        return dict(pairs)

    try:
        value = json.loads(text, object_pairs_hook=members, parse_constant=refuse)
    except (json.JSONDecodeError, ForeignNumberError, RecursionError):
        assert not is_one
        return
    is_doubled = any(len(keys) != len(set(keys)) for keys in seen)
    is_half = re.search("[\ud800-\udfff]", json.dumps(value, ensure_ascii=False)) is not None
    assert is_one == (not is_doubled and not is_half)
    if is_one and documents[0].root:
        assert plain(documents[0].root) == value
