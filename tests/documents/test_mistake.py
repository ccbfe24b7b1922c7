from typing import Any

import pytest

from webhook.documents.mistake import Lines, Mistake, Position, field_path, shown


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ("quota.yaml:4:11: users.alice.gpus: unknown field", "users.alice.gpus"),
        ("quota.yaml:4:11: unknown field", ""),
    ],
    ids=["with the path of a field", "without one"],
)
def test_a_mistake_is_one_line_that_editors_can_jump_to(line: str, path: str) -> None:
    assert str(Mistake("quota.yaml", Position(4, 11), path, "unknown field")) == line


def test_what_a_message_quotes_cannot_break_the_line_or_command_the_terminal() -> None:
    mistake = Mistake("q.yaml", Position(1, 1), "Config\nMap", "Ünï 😀 is\nno\x1b[2J number\u2028")

    assert str(mistake) == "q.yaml:1:1: Config\\nMap: Ünï 😀 is\\nno\\u001b[2J number\\u2028"


@pytest.mark.parametrize(
    ("path", "steps"),
    [
        ("", []),
        ("spec.containers[0].name", ["spec", "containers", 0, "name"]),
        ("[1][2].a", [1, 2, "a"]),
        ("hard[nvidia.com/gpu]", ["hard", "nvidia.com/gpu"]),
        ("users[alice@example.com].hard", ["users", "alice@example.com", "hard"]),
        ('a[""]', ["a", ""]),
        ('a["b]c"]', ["a", "b]c"]),
        ('a["b\\nc"]', ["a", "b\nc"]),
        ('a["\\u2028"]', ["a", "\u2028"]),
        (f'["{"x" * 57}..."]', ["x" * 61]),
    ],
)
def test_a_path_is_written_as_kubernetes_writes_it_and_stays_on_one_line(path: str, steps: list[Any]) -> None:
    assert field_path(steps) == path


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        ('"alice"', "alice"),
        ('"Zoë 😀"', "Zoë 😀"),
        ('"a\\"b\\\\"', 'a"b\\'),
        ('"\\u0007\\ud800"', "\x07\ud800"),
        (f'"{"x" * 60}"', "x" * 60),
        (f'"{"x" * 57}..."', "x" * 61),
    ],
)
def test_text_in_a_message_is_quoted_and_cut(expected: str, text: str) -> None:
    assert shown(text) == expected


@pytest.mark.parametrize(
    ("position", "offset"),
    [((1, 1), 0), ((1, 3), 2), ((2, 1), 3), ((3, 1), 5), ((4, 1), 6), ((5, 1), 8), ((5, 2), 9)],
)
def test_lines_end_with_each_of_the_line_breaks_of_yaml(position: tuple[int, int], offset: int) -> None:
    assert Lines("ab\nc\r\rd\u2028e"[:10]).position(offset) == Position(*position)


def test_a_carriage_return_and_a_line_feed_are_one_line_break() -> None:
    assert Lines("a\r\nb").position(3) == Position(2, 1)
