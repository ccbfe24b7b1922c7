import json
import math
import string
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.documents.kubectl_dialect import Answer, read_table
from webhook.documents.mistake import Position
from webhook.documents.tree import Field, Mapping, Scalar, Sequence, plain
from webhook.documents.yaml_text import read_documents, read_stream

patient = settings(deadline=None)


def mistakes_in(text: str, **options: int) -> list[str]:
    return [str(mistake) for mistake in read_documents(text, source="q.yaml", **options)[1]]


def values_of(text: str) -> list[Any]:
    documents, mistakes = read_documents(text, source="q.yaml")
    assert mistakes == ()
    return [plain(document) for document in documents]


def test_every_node_knows_its_place_and_how_it_was_written() -> None:
    text = "hard:\n  yes: 0.10\n  cpu: ['012', 012]\n"
    at = Position
    cpu = Sequence((Scalar("012", "012", at(3, 9)), Scalar(10, "012", at(3, 16))), at(3, 8))
    hard = Mapping(
        {
            "true": Field("true", at(2, 3), Scalar(0.1, "0.10", at(2, 8)), "yes"),
            "cpu": Field("cpu", at(3, 3), cpu, "cpu"),
        },
        at(2, 3),
    )
    root = Mapping({"hard": Field("hard", at(1, 1), hard, "hard")}, at(1, 1))
    assert read_documents(text, source="q.yaml") == ((root,), ())


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([], ""),
        ([], "# only a comment\n"),
        ([None, None], "---\n---\n"),
        ([{"a": 1}, {"b": 2}], "a: 1\n---\nb: 2\n"),
        ([{"a": 1}, {"b": 2}], "a: 1\n--- # with a comment\nb: 2\n"),
        ([{"a": 1}, {"b": 2}], "a: 1\n...\n---\nb: 2\n"),
        ([{"a": 1}, {"b": 2}], "--- {a: 1}\n--- {b: 2}\n"),
        ([{"a": 1}], "\ufeffa: 1\n"),
        ([{"a": 1, "b": "x"}], "a: 1\r\nb: x\r\n"),
        ([{"a": "/"}], 'a: "\\/"'),
    ],
    ids=[
        "an empty text has no documents",
        "nor has a comment",
        "an empty document is null",
        "documents are parted by dashes",
        "which may be followed by a comment",
        "a document may be ended by dots",
        "a document may begin behind the dashes",
        "a byte order mark in front is skipped",
        "line ends of Windows are line ends",
        "an escaped slash, as JSON writers have it, is a slash",
    ],
)
def test_gives_the_documents_in_order(values: list[Any], text: str) -> None:
    assert values_of(text) == values


REFUSED = {
    "an anchor": ("a: &x 1", ["q.yaml:1:4: a: the anchor &x is not accepted: write the value out where it is needed"]),
    "an alias": (
        "a: 1\nb: [2, *x]",
        ["q.yaml:2:8: b[1]: the alias *x is not accepted: write the value out"],
    ),
    "an anchor on a key, on a list and on a mapping": (
        "&x a: &y [&z {}]",
        [
            "q.yaml:1:1: the anchor &x is not accepted: write the value out where it is needed",
            "q.yaml:1:7: a: the anchor &y is not accepted: write the value out where it is needed",
            "q.yaml:1:11: a[0]: the anchor &z is not accepted: write the value out where it is needed",
        ],
    ),
    "an alias as a key": ("*x : 1", ["q.yaml:1:1: the alias *x is not accepted: write the value out"]),
    "an alias as the document": ("*x", ["q.yaml:1:1: the alias *x is not accepted: write the value out"]),
    "a merge key": ("a:\n  <<: {b: 1}", ["q.yaml:2:3: a: the merge key << is not accepted: write the fields out"]),
    "a merge key with its tag": (
        "!!merge x: 1",
        ["q.yaml:1:1: the merge key << is not accepted: write the fields out"],
    ),
    "a key given twice": (
        "users:\n  alice: 1\n  bob: 2\n  alice: 3\n",
        ['q.yaml:4:3: users.alice: the key "alice" is given twice, first at line 2, column 3'],
    ),
    "a key given three times": (
        "{a: 1, a: 2, a: 3}",
        [
            'q.yaml:1:8: a: the key "a" is given twice, first at line 1, column 2',
            'q.yaml:1:14: a: the key "a" is given twice, first at line 1, column 2',
        ],
    ),
    "two keys that kubectl makes one, taking either value at random": (
        "{1: a, '1': b, yes: a, 'true': b}",
        [
            'q.yaml:1:8: 1: the key "1" is given twice, first at line 1, column 2',
            'q.yaml:1:24: true: the key "true" is given twice, first at line 1, column 16',
        ],
    ),
    "null as a key": ("a: {~: 1}", ["q.yaml:1:5: a: a key must be text, not null: put it in quotes"]),
    "no key": ("a:\n  ?\n  : 1", ["q.yaml:2:4: a: a key must be text, not null: put it in quotes"]),
    "a number of 64 bits as a key": (
        "9223372036854775808: 1",
        ["q.yaml:1:1: a key must be text: put this number in quotes"],
    ),
    "a list as a key": ("a:\n  ? [b, c]\n  : 1", ["q.yaml:2:5: a: a key must be text, not a list"]),
    "a mapping as a key": ("? {a: 1}\n: {b: 2}", ["q.yaml:1:3: a key must be text, not a mapping"]),
    "a tag of one's own": ("a: !mine 1", ["q.yaml:1:4: a: the tag !mine is not accepted"]),
    "a tag of one's own on a key": ("!mine a: 1", ["q.yaml:1:1: the tag !mine is not accepted"]),
    "a tag of YAML that JSON has no type for": (
        "a: !!binary aGk=",
        ["q.yaml:1:4: a: the tag !!binary is not accepted"],
    ),
    "a tag on a mapping": ("a: !!set {b}", ["q.yaml:1:4: a: the tag !!set is not accepted here"]),
    "a tag that the value does not fit": ("a: !!int x", ["q.yaml:1:4: a: this is no value for the tag !!int"]),
    "a number that JSON does not know": (
        "a: [.inf, .nan]",
        [
            "q.yaml:1:5: a[0]: .inf is no number that JSON knows",
            "q.yaml:1:11: a[1]: .nan is no number that JSON knows",
        ],
    ),
    "mistakes in several documents": (
        "a: &x 1\n---\nb: &y 1\n",
        [
            "q.yaml:1:4: a: the anchor &x is not accepted: write the value out where it is needed",
            "q.yaml:3:4: b: the anchor &y is not accepted: write the value out where it is needed",
        ],
    ),
    "mistakes in front of a syntax error": (
        "a: &x 1\nb: {c",
        [
            "q.yaml:1:4: a: the anchor &x is not accepted: write the value out where it is needed",
            "q.yaml:2:6: did not find expected ',' or '}' while parsing a flow mapping",
        ],
    ),
    "a bracket that is not closed": (
        "a: [1,\n  2\nb: 3\n",
        ["q.yaml:3:2: did not find expected ',' or ']' while parsing a flow sequence from line 1 on"],
    ),
    "a line that is indented wrongly": (
        "a:\n    b: 1\n  c: 2\n",
        ["q.yaml:3:3: did not find expected key while parsing a block mapping from line 1 on"],
    ),
    "a second colon": ("a: b: c", ["q.yaml:1:5: mapping values are not allowed in this context"]),
    "a tab as indentation": ("a:\n\tb: 1\n", ["q.yaml:2:1: a tab cannot stand here: indent with spaces"]),
    "a tab behind a byte order mark": (
        "\ufeffa:\n\tb: 1\n",
        ["q.yaml:2:1: a tab cannot stand here: indent with spaces"],
    ),
    "a character that ends lines elsewhere": (
        "a: b\fc",
        ["q.yaml:1:5: the character U+000C is not allowed here"],
    ),
    "a control character": ("a: 1\nb: 'x\x00'", ["q.yaml:2:6: the character U+0000 is not allowed here"]),
    "half of a surrogate pair": ("a: \ud83d", ["q.yaml:1:4: the character U+D83D is not allowed here"]),
    "half of a surrogate pair, escaped": (
        'a: "\\ud83d"',
        ["q.yaml:1:7: found invalid Unicode character escape code while parsing a quoted scalar"],
    ),
    "a byte order mark inside": ("a: 1\n\ufeffb: 2", ["q.yaml:2:1: the byte order mark U+FEFF is not allowed here"]),
    "a directive that YAML has no version for": ("%YAML 3.0\n--- a", ["q.yaml:1:1: found incompatible YAML document"]),
    "a second document without dashes": ("a: 1\n...\nb: 2\n", ["q.yaml:3:1: did not find expected <document start>"]),
}


@pytest.mark.parametrize(("text", "mistakes"), REFUSED.values(), ids=REFUSED)
def test_tells_every_mistake_with_its_place(text: str, mistakes: list[str]) -> None:
    assert mistakes_in(text) == mistakes


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": 1, "b": 3}, "{a: 1, a: 2, b: 3}"),
        ({"b": 3}, "{a: *x, *y : 2, [c]: {d: 1}, b: 3}"),
        ([1, 3], "[1, !mine 2, 3]"),
        ({"a": {"b": 1}}, "a: &x {b: 1, ~: {c: 2}}"),
    ],
    ids=[
        "the first of two keys",
        "nothing of a field that could not be read",
        "nor of such an item",
        "all of a value with an anchor",
    ],
)
def test_with_mistakes_the_tree_keeps(value: object, text: str) -> None:
    documents, mistakes = read_documents(text, source="q.yaml")
    assert mistakes
    assert [plain(document) for document in documents] == [value]


def test_a_syntax_error_leaves_the_documents_in_front_of_it() -> None:
    documents, mistakes = read_documents("a: 1\n---\nb: [\n---\nc: 1\n", source="q.yaml")
    assert [plain(document) for document in documents] == [{"a": 1}]
    assert [mistake.position for mistake in mistakes] == [Position(4, 1)]


def test_the_size_is_limited() -> None:
    assert mistakes_in("a: " + "x" * 8, limit=10) == ["q.yaml:1:1: the text has 11 characters, at most 10 are read"]
    assert mistakes_in("a: " + "x" * 7, limit=10) == []


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ("{a: ", "}")], ids=["lists", "mappings"])
def test_the_depth_is_limited(opening: str, closing: str) -> None:
    assert mistakes_in(opening * 64 + closing * 64) == []
    message = f"q.yaml:1:{64 * len(opening) + 1}: nested deeper than 64 levels"
    assert mistakes_in(opening * 65 + closing * 65) == [message]


names = st.text(string.ascii_lowercase + "-./@ é😀", min_size=1, max_size=8)
leaves = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
words = st.sampled_from(["yes", "012", "1e3", "~", "<<", "", "a: b", "- a", "#", "12:30:45", "2001-12-14"])
any_character = st.characters(exclude_categories=["Cs"])
# JSON takes control characters, marks and U+2028 as they are; YAML refuses some of them and folds others.
shared_character = st.characters(exclude_categories=["Cs", "Cc", "Cf", "Cn", "Zl", "Zp"])


def json_values(characters: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    texts = words | st.text(characters, max_size=20)
    return st.recursive(
        leaves | texts,
        lambda children: st.lists(children, max_size=4) | st.dictionaries(names | texts, children, max_size=4),
        max_leaves=12,
    )


class NoAliases(yaml.SafeDumper):
    def ignore_aliases(self, _data: object) -> bool:
        return True


@patient
@given(json_values(any_character), st.booleans())
@example(["\x85", "\u2028", "\ufeff", "\x00"], True)
def test_reads_back_what_was_dumped_with_quotes(value: Any, is_flow: bool) -> None:
    """Without quotes the dumper would write the text 1e3 plainly, because its own reader takes it for text."""
    text = yaml.dump(value, Dumper=NoAliases, default_style='"', default_flow_style=is_flow, sort_keys=False)
    assert same(values_of(text), [value])


@patient
@given(json_values(shared_character))
def test_reads_json(value: Any) -> None:
    assert same(values_of(json.dumps(value, ensure_ascii=False, indent=1)), [value])


def same(left: object, right: object) -> bool:
    """Whether two JSON values are equal, with 1 and true and 1.0 apart; a whole float may come back as an integer."""
    return json.dumps(whole(left)) == json.dumps(whole(right))


def whole(value: object) -> object:
    match value:
        case dict():
            return {key: whole(each) for key, each in value.items()}
        case list():
            return [whole(each) for each in value]
        case float() if value.is_integer():
            return int(value)
    return value


yaml_pieces = st.sampled_from(
    [
        *("a", "b: ", "- ", "? ", ": ", "\n", "\n  ", " ", "{", "}", "[", "]", ", ", "'", '"', "|\n ", ">", "#", "\\"),
        *("1", "~", "\t", "---\n", "...\n", "%", "@", "&x ", "*x ", "!!int ", "!y ", "<<: ", '"\\ud800"', "\ufeff"),
        *("\ud800", "%YAML 1.1\n", "%TAG ! x:\n", "\\U0011FFFF", "\x00", "\r", "\u2028"),
    ]
)


@pytest.mark.parametrize("loader", [yaml.CSafeLoader, yaml.SafeLoader])
@patient
@given(text=st.text() | st.lists(yaml_pieces).map("".join))
@example(text='"\\UFFFFFFFF"')
@example(text="%YAML 1." + "1" * 5000 + "\n--- a")
def test_any_text_gives_documents_or_mistakes_within_it(loader: Any, text: str) -> None:
    lines = len(text.splitlines()) + 1
    for document in read_stream(text, source="q.yaml", limit=10_000, loader=loader):
        assert document.root is not None or document.mistakes
        for mistake in document.mistakes:
            assert 1 <= mistake.position.line <= lines
            assert "\n" not in str(mistake)


WITHOUT_TABS = [answer for answer in read_table() if answer.json is not None and "\t" not in answer.yaml]


@pytest.mark.parametrize("answer", WITHOUT_TABS, ids=lambda answer: answer.yaml)
def test_the_loader_without_libyaml_reads_the_same(answer: Answer) -> None:
    """But for tabs between words, which it refuses, and the place of a value that is left empty."""
    fast, slow = (
        [*read_stream(answer.yaml, source="q.yaml", limit=10_000, loader=loader)]
        for loader in (yaml.CSafeLoader, yaml.SafeLoader)
    )
    assert [plain(each.root) for each in slow if each.root] == [plain(each.root) for each in fast if each.root]
    assert [each.mistakes for each in slow] == [each.mistakes for each in fast]


def test_the_loader_without_libyaml_lets_no_half_of_a_surrogate_pair_through() -> None:
    [document] = read_stream('a: "\\ud83d"', source="q.yaml", limit=10_000, loader=yaml.SafeLoader)
    assert [str(each) for each in document.mistakes] == ["q.yaml:1:4: a: half of a surrogate pair is no character"]


def test_floats_keep_what_was_written() -> None:
    [node], _ = read_documents("0.1000000000000000055511151231257827", source="q.yaml")
    assert node == Scalar(0.1, "0.1000000000000000055511151231257827", Position(1, 1))
    assert isinstance(node, Scalar)
    assert math.isclose(float(node.text), 0.1)
