"""What is filled in for sessions: what is written, then by the category, then what the policy fills in for all."""

from __future__ import annotations

import json
from itertools import product

import msgspec
import pytest

from tests.admission.test_missing_requests import a_pod
from webhook.kinds import pod_filling
from webhook.kinds.evaluator import PodDefaults
from webhook.kinds.pod_shapes import Pod
from webhook.quota.missing import Categories, of_category
from webhook.quota.quantity import Quantity, parse

CPU, LIMIT = "requests.cpu", "limits.cpu"


def amounts(**cpu: str) -> dict[str, Quantity]:
    return {f"{name}.cpu": parse(text) for name, text in cpu.items()}


LARGE, ANY, ALL = amounts(requests="8"), amounts(requests="2"), amounts(requests="1")
WRITTEN = {"": None, "cpu 500m": "500m", "a written 0": "0"}
OF_POLICY: dict[str, Categories] = {
    "no categories": {},
    "one": {"gpu-large": LARGE},
    "one and a default": {"gpu-large": LARGE, "default": ANY},
    "an empty one and a default": {"gpu-large": {}, "default": ANY},
}
CATEGORY = ["gpu-large", "GPU-Large", "browser", "", None]
MISSING = {"nothing": {}, "1 for all": ALL}


def expected(written: str | None, of_policy: str, category: str | None, missing: str) -> str | None:
    """Return the request, by the words of the documentation."""
    if written is not None:
        return written
    is_named = category is not None and category.lower() == "gpu-large"
    if category is not None and of_policy != "no categories":
        if is_named and of_policy.startswith("one"):
            return "8"
        if not is_named and of_policy.endswith("a default"):
            return "2"
    return "1" if missing == "1 for all" else None


@pytest.mark.parametrize(
    ("written", "of_policy", "category", "missing"), list(product(WRITTEN, OF_POLICY, CATEGORY, MISSING))
)
def test_what_is_written_comes_before_the_category_and_that_before_what_is_missing(
    written: str, of_policy: str, category: str | None, missing: str
) -> None:
    text = WRITTEN[written]
    document = a_pod({"requests": {"cpu": text}} if text else {})
    pod = msgspec.json.decode(json.dumps(document), type=Pod)
    defaults = PodDefaults({}, MISSING[missing], OF_POLICY[of_policy]).of_category(category)
    filled: list[str | None] = [
        str(each.amounts["requests"]["cpu"]) for each in pod_filling.fill(pod, defaults.missing, {}).parts
    ]
    wanted = expected(text, of_policy, category, missing)
    assert (filled or [text]) == [wanted]
    assert bool(filled) is (text is None and wanted is not None)


LIMITS = {
    "a limit for all gives way to a larger request": (amounts(requests="8"), amounts(limits="2"), "8", "8"),
    "and stays above a smaller one": (amounts(requests="1"), amounts(limits="2"), "1", "2"),
    "a limit of the category stays": (amounts(requests="8", limits="4"), amounts(limits="2"), "8", "4"),
    "and comes before the one for all": (amounts(limits="4"), amounts(requests="1", limits="2"), "1", "4"),
}


@pytest.mark.parametrize(("of_it", "missing", "request_", "limit"), LIMITS.values(), ids=LIMITS)
def test_a_limit_that_all_have_takes_nothing_from_a_category(
    of_it: dict[str, Quantity], missing: dict[str, Quantity], request_: str, limit: str
) -> None:
    merged = of_category({"large": of_it}, "Large", missing)
    assert (str(merged[CPU]), str(merged[LIMIT])) == (request_, limit)
