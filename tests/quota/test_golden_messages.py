"""
The whole text of every form of message about a quota, in `messages.yaml`: a change of words is seen there.

docs/messages.md explains each form.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import yaml

from webhook.quota import durations, message, share
from webhook.quota.catalogue import About, Notation
from webhook.quota.decision import Denied, Excess, Filled, Lack, OffShape, Shortfall, Unmet
from webhook.quota.devices import Part, Weight
from webhook.quota.endings import EndingLimit
from webhook.quota.fitting import Fitting
from webhook.quota.limits import ONE_OBJECT, Limit
from webhook.quota.message import Added, Context
from webhook.quota.policy import Unlimited
from webhook.quota.pool_room import OnDemand
from webhook.quota.quantity import NANOS, parse
from webhook.quota.resources import LOGICAL, Amount, Amounts
from webhook.quota.shapes import Shape
from webhook.quota.subject import Subject

Json: TypeAlias = dict[str, Any]

ROOT = Path(__file__).parent.parent.parent
CASES: list[Json] = yaml.safe_load((Path(__file__).parent / "messages.yaml").read_text())


def amount(resource: str, text: str) -> Amount:
    if resource in durations.TIMES:
        return durations.parse(text)
    return Fraction(share.parse(text)) * NANOS if resource in LOGICAL else parse(text).nanos


def limit(resource: str, hard: Amount, asked: Json, cap: str | None = None) -> Limit:
    bound = ONE_OBJECT if cap else Subject(asked.get("subject", "user/alice"))
    said = dict(asked.get("about", {}))
    if "notation" in said:
        said["notation"] = Notation(said["notation"])
    about = About(**said) if said else None
    entry, hint = asked.get("entry", "users.alice"), asked.get("hint", "")
    return Limit(bound, resource, hard, entry, cap=cap, hint=hint, about=about)


def excess(written: str | Json) -> Excess:
    asked: Json = {"text": written} if isinstance(written, str) else written
    resource, _, rest = asked["text"].partition(" ")
    fields = dict(each.split(" ") for each in rest.split(", "))
    cap = fields.pop("cap", None)
    amounts = {name: amount(resource, text) for name, text in fields.items()}
    rule = limit(resource, amounts["limited"], asked, cap)
    used, reserved, fits = (amounts.get(name, 0) for name in ("used", "reserved", "fits"))
    had, ended, for_pods, kept = (amounts.get(name, 0) for name in ("had", "ended", "held_for_pods", "kept_for_pods"))
    promised: list[Any] = [
        amounts[name] for name in ("set_aside", "taken", "total", "committed", "in_use") if name in amounts
    ]
    ends, is_limit = asked.get("ends"), asked.get("of") == "on demand"
    on_demand = OnDemand(*promised)._replace(ends=ends, is_limit=is_limit) if promised else None
    return Excess(rule, amounts["requested"], used, reserved, fits, had, ended, for_pods, kept, on_demand)


def lack(written: str | Json) -> Lack:
    asked = {"text": written} if isinstance(written, str) else written
    resource, _, hard, _, containers = asked["text"].split(" ")
    return Lack(limit(resource, amount(resource, hard), asked), tuple(containers.split(",")))


def shortfall(written: Json) -> Shortfall:
    short = excess({**written, "text": f"{written['text']}, fits 0"})
    return Shortfall(short.rule, short.requested)


def off_shape(written: Json) -> OffShape:
    def listed(name: str) -> Amounts:
        return tuple(sorted((each, amount(each, text)) for each, text in written[name].items()))

    shape, nearest = Shape(listed("unit"), Fraction(written.get("tolerance", 0))), listed("nearest")
    resource, hard = nearest[0]
    return OffShape(limit(resource, hard, written, "shape"), listed("asked"), shape, nearest)


def context(written: Json) -> Context:
    containers, amounts = written.get("added", ((), {}))
    added = Added(tuple(containers), {name: amount(name, text) for name, text in amounts.items()})
    may_roll_out = written.get("may_roll_out", False)
    return Context("alice", "created it", written.get("sources", {}), written.get("units", {}), added, may_roll_out)


def ending(written: Json) -> EndingLimit:
    name, hard = written["resource"], written["hard"]
    before = Unlimited.UNLIMITED if hard == "unlimited" else amount(name, hard)
    until = datetime.fromisoformat(written["until"])
    return EndingLimit("users.alice", name, before, amount(name, written["after"]), until)


def text_of(case: Json) -> str:
    excesses, lacks = list(map(excess, case.get("excesses", ()))), list(map(lack, case.get("lacks", ())))
    short: list[Unmet] = [shortfall(each) for each in case.get("unmet", ())]
    short += [off_shape(each) for each in case.get("off_shape", ())]
    fitting = Fitting(*reversed(case.get("fits", (0, 0))))
    made: dict[str, Callable[[], str]] = {
        "sentence": lambda: message.sentence(excesses, lacks, context(case.get("context", {})), unmet=short),
        "workload_sentence": lambda: message.workload_sentence(
            fitting, Denied(tuple(excesses), tuple(lacks), tuple(short)), noun="replicas", owner="alice"
        ),
        "unfit_warnings": lambda: "; ".join(message.unfit_warnings(lacks, short, noun="replicas")),
        "workload_warning": lambda: message.workload_warning(fitting, excesses[0], noun="replicas"),
        "warning": lambda: message.warning(excesses[0]),
        "minimum_warning": lambda: message.minimum_warning(short[0]),
        "lack_warning": lambda: message.lack_warning(lacks[0]),
        "surge_warning": lambda: message.surge_warning(excesses[0]),
        "filled_warning": lambda: message.filled_warning(Filled(excesses[0].rule, excesses[0].requested)),
        "ending_warning": lambda: message.ending_warning(ending(case["ending"])),
        "nobody_warning": lambda: message.nobody_warning("Deployment"),
        "assumed_weight": lambda: message.assumed_weight(
            Part("requests.example.com/gpu", NANOS, Weight("gpu", 1, is_assumed=True))
        ),
    }
    return made[case["of"]]()


def ids(case: Json) -> str:
    name: str = case["case"]
    return name


@pytest.mark.parametrize("case", CASES, ids=ids)
def test_a_message_has_exactly_this_text(case: Json) -> None:
    assert text_of(case) == case["says"]


@pytest.mark.parametrize("case", CASES, ids=ids)
def test_a_message_is_one_line_and_tells_the_numbers_first(case: Json) -> None:
    """Terminals and Events cut what is long."""
    text = text_of(case)
    assert text.isprintable()
    if (
        case["of"].endswith("sentence")
        and case.get("excesses")
        and not (case.get("lacks") or case.get("unmet") or case.get("off_shape"))
    ):
        first, cap = text[:120], " for one " in text.partition(";")[0]
        assert all(f"{word}: " in first for word in ("requested", *(() if cap else ("used",)), "limited")), first
    if case["of"].endswith(("warning", "weight")):
        assert len(text) <= 150


def literals() -> Iterator[str]:
    """Yield the words of `webhook.quota.message`, without docstrings and names of fields."""
    tree = ast.parse((ROOT / "webhook/quota/message.py").read_text())
    for function in (each for each in ast.walk(tree) if isinstance(each, ast.FunctionDef)):
        docstring = ast.get_docstring(function, clean=False)
        for node in ast.walk(function):
            value = node.value if isinstance(node, ast.Constant) else None
            if isinstance(value, str) and value != docstring and " " in value.strip():
                yield value


@pytest.mark.parametrize("words", sorted(set(literals())))
def test_all_words_are_in_some_message_of_the_table(words: str) -> None:
    assert any(words in case["says"] for case in CASES)


DOCUMENT = (ROOT / "docs/messages.md").read_text()
FORMS = re.findall(
    r"^\| `([^`]+)`", DOCUMENT.partition("\n## Forms")[2].partition("\n## Other refusals")[0], re.MULTILINE
)


def pattern(form: str) -> str:
    """Return the regular expression of a form, where a word in capitals stands for anything."""
    return ".+".join(re.escape(each) for each in re.split(r"[A-Z]{2,}|\.\.\.", form))


@pytest.mark.parametrize("form", FORMS)
def test_each_form_of_the_document_is_in_some_message(form: str) -> None:
    assert any(re.search(pattern(form), case["says"]) for case in CASES)


@pytest.mark.parametrize("case", CASES, ids=ids)
def test_each_part_of_a_message_is_explained(case: Json) -> None:
    for part in re.split(r"; (?!\S+ for: |limited: |maxSurge: )", case["says"]):
        assert any(re.search(pattern(form), part) for form in FORMS), part


OTHER = re.findall(r"^\| `([^`]+)`", DOCUMENT.partition("\n## Other refusals")[2], re.MULTILINE)
SOURCES = "\n".join(path.read_text() for path in sorted((ROOT / "webhook").rglob("*.py")))


@pytest.mark.parametrize("form", OTHER)
def test_each_other_refusal_of_the_document_is_in_the_code(form: str) -> None:
    words = max(re.split(r"[A-Z]{2,}|\.\.\.", form), key=len).strip()
    assert words in SOURCES
