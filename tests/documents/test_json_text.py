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


def test_every_node_knows_its_place_and_how_it_was_written() -> None:
    at = Position
    items = Sequence(
        (Scalar(0.1, "0.10", at(2, 11)), Scalar("a\n", "a\n", at(2, 17)), Scalar(True, "true", at(2, 24))),
        at(2, 10),
    )
    root = Mapping({"items": Field("items", at(2, 1), items, "items")}, at(1, 1))
    assert read('{\n"items": [0.10, "a\\n", true]}') == [Document(root, ())]


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


HALF = "half of a surrogate pair is no character"
REFUSED = {
    "no value": ('{"a": }', ['o.json:1:7: expected a value, found "}"']),
    "an end in the middle": ('{"a": [1,', ["o.json:1:10: expected a value, found the end"]),
    "an end behind an opening bracket": ("[", ["o.json:1:2: expected a value or ], found the end"]),
    "a comma too many in an object": ('{"a": 1,}', ['o.json:1:9: expected a key in double quotes, found "}"']),
    "a comma too many in a list": ("[1,]", ['o.json:1:4: expected a value, found "]"']),
    "a comma too few": (
        '{"a": 1\n "b": 2}',
        ['o.json:2:2: expected a comma or the closing bracket, found "\\"b\\": 2}"'],
    ),
    "the wrong closing bracket": ('{"a": [1}', ['o.json:1:9: expected a comma or the closing bracket, found "}"']),
    "no colon": ('{"a" 1}', ['o.json:1:6: expected a colon, found "1}"']),
    "a key without quotes": ("{a: 1}", ['o.json:1:2: expected a key in double quotes or }, found "a: 1}"']),
    "a number as a key": ("{1: 2}", ['o.json:1:2: expected a key in double quotes or }, found "1: 2}"']),
    "a closing bracket too many": ("{}}", ['o.json:1:3: expected a value, found "}"']),
    "something behind the value": ('{"a": 1} x', ['o.json:1:10: expected a value, found "x"']),
    "a number that begins with zero": ("[01]", ['o.json:1:3: expected a comma or the closing bracket, found "1]"']),
    "a number without digits behind the point": (
        "[1.]",
        ['o.json:1:3: expected a comma or the closing bracket, found ".]"'],
    ),
    "a string that is not closed": ('["a\n"]', ['o.json:1:2: expected a value or ], found "\\"a\\n\\"]"']),
    "a control character in a string": ('["\x01"]', ['o.json:1:2: expected a value or ], found "\\"\\u0001\\"]"']),
    "an unknown escape": ('["\\x41"]', ['o.json:1:2: the string "\\\\x41" has an escape that JSON does not know']),
    "NaN and infinity": (
        "[NaN, Infinity, -Infinity]",
        [
            "o.json:1:2: [0]: NaN is no JSON number",
            "o.json:1:7: [1]: Infinity is no JSON number",
            "o.json:1:17: [2]: -Infinity is no JSON number",
        ],
    ),
    "half of a surrogate pair, escaped": (
        '{"a": "\\ud83d"}',
        [f"o.json:1:7: a: {HALF}"],
    ),
    "half of a surrogate pair": ('{"a": "\ud83d"}', [f"o.json:1:7: a: {HALF}"]),
    "half of a surrogate pair in a key": (
        '{"\\ud83d": {"b": 1}}',
        [f"o.json:1:2: {HALF}"],
    ),
    "a number of a million digits": (
        '{"a": ' + "1" * 10**6 + "}",
        ["o.json:1:7: a: a number of 1000000 characters, at most 400 are read"],
    ),
    "a key given twice": (
        '{"a": {"b": 1,\n"b": 2}}',
        ['o.json:2:1: a.b: the key "b" is given twice, first at line 1, column 8'],
    ),
    "a key given twice, once with an escape": (
        '{"a": 1, "\\u0061": 2}',
        ['o.json:1:10: a: the key "a" is given twice, first at line 1, column 2'],
    ),
    "too many lists in each other": ("[" * 65 + "]" * 65, ["o.json:1:65: nested deeper than 64 levels"]),
    "too many objects in each other": ('{"a":' * 65, ["o.json:1:321: nested deeper than 64 levels"]),
}


@pytest.mark.parametrize(("text", "mistakes"), REFUSED.values(), ids=REFUSED)
def test_tells_every_mistake_with_its_place(text: str, mistakes: list[str]) -> None:
    assert mistakes_in(text) == mistakes


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
