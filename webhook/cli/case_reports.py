"""
What `userquota policy test` says of cases that were run: lines for people, JUnit XML, and annotations of a workflow.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape, quoteattr

from webhook.documents.case_text import Case, Expected, Outcome
from webhook.documents.mistake import Position

_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Tested(NamedTuple):
    """A case of the file *source*, and what it came to."""

    source: str
    case: Case
    outcome: Outcome

    @property
    def has_passed(self) -> bool:
        """Whether it came to what was expected."""
        return self.outcome.meets(self.case.expected)

    @property
    def place(self) -> str:
        """Return where the case is written."""
        return f"{self.source}:{self.case.position.line}"


def _text(tested: Sequence[Tested]) -> Iterator[str]:
    """Yield a line for each case, for one that has failed what was expected and what came, and the counts."""
    for each in tested:
        yield f"{'pass' if each.has_passed else 'FAIL'}  {each.place}: {each.case.name}"
        if not each.has_passed:
            yield from (f"      {line}" for line in _difference(each))
    passed = sum(each.has_passed for each in tested)
    yield f"{passed} passed, {len(tested) - passed} failed"


def _github(tested: Sequence[Tested]) -> Iterator[str]:
    """Yield the lines for people, and an annotation for each case that has failed."""
    yield from _text(tested)
    for each in tested:
        if not each.has_passed:
            yield annotation(each.source, each.case.position, "\n".join((each.case.name, *_difference(each))))


def _junit(tested: Sequence[Tested]) -> Iterator[str]:
    """Yield the report of JUnit, a suite for each file."""
    failed = sum(not each.has_passed for each in tested)
    yield '<?xml version="1.0" encoding="UTF-8"?>'
    yield f'<testsuites name="userquota policy test" tests="{len(tested)}" failures="{failed}" errors="0">'
    for source in dict.fromkeys(each.source for each in tested):
        listed = [each for each in tested if each.source == source]
        failed = sum(not each.has_passed for each in listed)
        yield f'  <testsuite name={_quoted(source)} tests="{len(listed)}" failures="{failed}" errors="0" skipped="0">'
        for each in listed:
            line = each.case.position.line
            attributes = f'classname={_quoted(source)} file={_quoted(source)} line="{line}"'
            yield f"    <testcase name={_quoted(each.case.name)} {attributes}{'/' if each.has_passed else ''}>"
            if not each.has_passed:
                expected, got = _difference(each)
                text = escape(_NOT_IN_XML.sub("?", f"{each.place}\n{expected}\n{got}"))
                yield f"      <failure message={_quoted(got)}>{text}</failure>"
                yield "    </testcase>"
        yield "  </testsuite>"
    yield "</testsuites>"


REPORTS: dict[str, Callable[[Sequence[Tested]], Iterator[str]]] = {"text": _text, "junit": _junit, "github": _github}
"""By the name of the format."""


def annotation(source: str, position: Position, message: str) -> str:
    """Return the command by which a workflow of GitHub marks a line of a file as an error."""
    file = _percented(source).replace(":", "%3A").replace(",", "%2C")
    return f"::error file={file},line={position.line},col={position.column}::{_percented(message)}"


def _percented(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _quoted(text: str) -> str:
    return quoteattr(_NOT_IN_XML.sub("?", text))


def _difference(each: Tested) -> tuple[str, str]:
    return f"expected: {_expected(each.case.expected)}", f"got:      {_got(each.outcome)}"


def _expected(expected: Expected) -> str:
    limit = f" by {expected.limit}" if expected.limit else ""
    return expected.verdict.value + limit + (f", with {expected.message!r} in what is said" if expected.message else "")


def _got(outcome: Outcome) -> str:
    if outcome.verdict is None:
        return f"it cannot be run: {outcome.trouble}"
    limits = f" by {', '.join(outcome.limits)}" if outcome.limits else ""
    return outcome.verdict.value + limits + (f": {'; '.join(outcome.texts)}" if outcome.texts else "")
