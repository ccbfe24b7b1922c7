import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.quota.device_choice import alternatives_of, name_of_choice
from webhook.quota.resources import canonical_name

CLASSES = st.from_regex(r"[a-c0-1]([-a-c.]{0,3}[a-c])?", fullmatch=True)
CHOICES = st.lists(st.tuples(CLASSES, st.integers(1, 40)), min_size=1, max_size=8)


@pytest.mark.parametrize(
    ("alternatives", "name"),
    [
        ([("gpu.example.com", 1)], "device/gpu.example.com"),
        ([("gpu.example.com", 1), ("gpu.example.com", 1)], "device/gpu.example.com"),
        ([("gpu.example.com", 2)], "device/gpu.example.com*2"),
        ([("small", 2), ("large", 1)], "device/large*1|small*2"),
        ([("small", 2), ("large", 1), ("small", 3), ("small", 1)], "device/large*1|small*3"),
    ],
)
def test_equal_choices_have_equal_names(alternatives: list[tuple[str, int]], name: str) -> None:
    assert name_of_choice(alternatives) == name
    assert name_of_choice(reversed(alternatives)) == name


@given(CHOICES)
def test_the_name_of_a_choice_tells_the_largest_number_of_each_class(alternatives: list[tuple[str, int]]) -> None:
    assert alternatives_of(name_of_choice(alternatives)) == tuple(sorted(dict(sorted(alternatives)).items()))


@given(st.text("device/ab*|0123٣_ ", max_size=12).map("device/".__add__) | st.text())
def test_a_text_is_the_name_of_a_choice_only_if_the_choice_has_that_name(text: str) -> None:
    alternatives = alternatives_of(text)

    assert alternatives is None or name_of_choice(alternatives) == text


@pytest.mark.parametrize(
    "name",
    [
        *(
            "",
            "gpu",
            "requests.device/gpu",
            "Device/gpu",
            "device/",
            "device/*2",
            "device/|",
            "device/a|",
            "device/a|b",
        ),
        *("device/b*1|a*1", "device/a*1|a*2", "device/a*1", "device/a*0|b*1", "device/a*-1|b*1", "device/a*1*1|b*1"),
        *("device/a*01|b*1", "device/a*1_0|b*1", "device/a* 1|b*1", "device/a*|b*1", f"device/a*{'9' * 5000}"),
    ],
)
def test_other_names_are_no_choice(name: str) -> None:
    assert alternatives_of(name) is None


@pytest.mark.parametrize(
    ("alternatives", "message"),
    [
        ([], "there is nothing to choose from"),
        ([("", 1)], "'' is no device class"),
        ([("a*2", 1)], "'a*2' is no device class"),
        ([("a", 1), ("a|b", 1)], "'a|b' is no device class"),
        ([("a", 0)], "0 devices are no choice"),
        ([("a", 1), ("b", -1)], "-1 devices are no choice"),
    ],
)
def test_what_is_no_choice_has_no_name(alternatives: list[tuple[str, int]], message: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the text is compared
        name_of_choice(alternatives)

    assert str(error.value) == message


@given(CHOICES)
def test_no_policy_can_name_a_choice(alternatives: list[tuple[str, int]]) -> None:
    name = name_of_choice(alternatives)

    assert canonical_name(name) != name
