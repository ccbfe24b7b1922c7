"""Requests of a broker: what is read, and each mistake with its field."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.liquid.scenes import changeset, classes, commitment, request
from webhook.liquid.offers import Offer, Offers, offers_of
from webhook.liquid.requests import (
    CommitmentChange,
    CommitmentRequest,
    MalformedError,
    check_changes,
    check_quotas,
    read_changes,
    read_quotas,
    read_zones,
)
from webhook.quota.commitments import State

UUID = "2f4b7f06-51d5-4ca4-8f3f-6a5ef58b7f01"
OTHER = UUID.replace("2", "3")


def said(read: Callable[[], object]) -> str:
    with pytest.raises(MalformedError) as told:
        read()
    return str(told.value)


def test_a_change_is_read_whole() -> None:
    changed = commitment(
        oldStatus="planned", confirmBy="2027-01-01T01:00:00+01:00", oldExpiresAt="2027-06-01T00:00:00.5Z", newField=1
    )
    by_project = {"p-1": {"byResource": {"h100_gpu": changeset(changed)}, "projectMetadata": {"uuid": "p-1"}}}

    read = read_changes(request(by_project, dryRun=True, unknown={"x": 1}))

    assert (read.zone, read.is_dry_run, read.info_version) == ("a", True, 7)
    [(project, resource, change)] = read.every()
    assert (project, resource) == ("p-1", "h100_gpu")
    assert change == CommitmentChange(
        UUID,
        10,
        datetime(2028, 1, 1, tzinfo=UTC),
        State.PLANNED,
        State.CONFIRMED,
        datetime(2027, 1, 1, tzinfo=UTC),
        datetime(2027, 6, 1, 0, 0, 0, 500_000, tzinfo=UTC),
    )
    assert change.confirm_by is not None
    assert change.confirm_by.tzinfo is UTC


def test_null_is_an_empty_list_or_map_as_go_writes_it() -> None:
    empty = CommitmentRequest("a", is_dry_run=False, info_version=7)
    assert read_changes(request(by_project={})) == empty
    assert read_changes(json.dumps({"az": "a", "infoVersion": 7, "byProject": None}).encode()) == empty
    assert read_changes(request({"p": {"byResource": None}})).by_project == {"p": {}}
    assert not list(read_changes(request({"p": {"byResource": {"r": changeset(confirmed=(1, 1))}}})).every())
    assert read_zones(b'{"allAZs": null, "demandByResource": null}') == ()
    assert read_quotas(b'{"resources": null}', project="p") == {}


def one(**changed: Any) -> bytes:
    return request({"p-1": {"byResource": {"r": changeset(commitment(**changed))}}})


HERE = "byProject['p-1'].byResource['r']"
OF_ONE = f"{HERE}.commitments[0]"
NUMBERS = f"expected a number from 1 to {2**63 - 1}"
MALFORMED = {
    "no JSON": (b"{", "no JSON: Expecting property name enclosed in double quotes"),
    "nothing": (b"", "no JSON: Expecting value"),
    "more than one document": (request() + request(), "no JSON: Extra data"),
    "no object": (b"[]", "Expected `object`, got `array`"),
    "no UTF-8": (b'{"az": "\xff"}', "no UTF-8 at byte 8"),
    "nested deeply": (b"[" * 200_000, "nested too deeply"),
    "a number that JSON has not": (b'{"infoVersion": NaN}', "no JSON: NaN is no number of JSON"),
    "a field twice": (b'{"az": "a", "az": "b"}', "'az': it is given twice in one object"),
    "a project twice": (
        b'{"az": "a", "infoVersion": 1, "byProject": {"p": {"byResource": {}}, "p": {"byResource": {}}}}',
        "'p': it is given twice in one object",
    ),
    "no zone": (request(az=""), "az: expected the name of a zone"),
    "a word that is no zone": (request(az="any"), "az: expected the name of a zone"),
    "half a letter": (request(az="\ud800"), "half of a surrogate pair is no character"),
    "half a letter in what is skipped": (request(x={"\udfff": 1}), "half of a surrogate pair is no character"),
    "a long name": (request({"p": {"byResource": {"r" * 600: 1}}}), f"byProject['p'].byResource['{'r' * 400}"),
    "a name of two lines": (request({"a\nb": {}}), "byProject['a\\nb']: expected an id"),
    "a status of two lines": (one(newStatus="a\nb"), f"{OF_ONE}.newStatus: Invalid enum value 'a\\nb'"),
    "a zone of another type": (request(az=None), "az: Expected `str`, got `null`"),
    "no version": (b'{"az": "a", "byProject": {}}', "Object missing required field `infoVersion`"),
    "a version as text": (request(infoVersion="7"), "infoVersion: Expected `int`, got `str`"),
    "a version with a fraction": (request(infoVersion=7.0), "infoVersion: Expected `int`, got `float`"),
    "dryRun as a number": (request(dryRun=1), "dryRun: Expected `bool`, got `int`"),
    "a project with a space": (request({"p 1": {}}), "byProject['p 1']: expected an id of 1 to 64 visible characters"),
    "a project without an id": (request({"": {}}), "byProject['']: expected an id of 1 to 64 visible characters"),
    "a long project": (request({"p" * 65: {}}), f"byProject['{'p' * 65}']: expected an id of 1 to 64 visible"),
    "a project that is null": (request({"p": None}), "byProject['p']: Expected `object`, got `null`"),
    "metadata of another project": (
        request({"p": {"byResource": {}, "projectMetadata": {"uuid": "q"}}}),
        "byProject['p'].projectMetadata.uuid: expected the id that stands before it",
    ),
    "no sums": (
        request({"p-1": {"byResource": {"r": {"commitments": []}}}}),
        f"{HERE}: Object missing required field `totalConfirmedBefore`",
    ),
    "a negative sum": (
        request({"p-1": {"byResource": {"r": changeset(guaranteed=(-1, -1))}}}),
        f"{HERE}.totalGuaranteedBefore: expected a number from 0 to {2**63 - 1}",
    ),
    "no uuid": (one(uuid=None), f"{OF_ONE}.uuid: Expected `str`, got `null`"),
    "a short uuid": (one(uuid="12345"), f"{OF_ONE}.uuid: expected 6 to 40 letters, digits and hyphens"),
    "a long uuid": (one(uuid="1" * 41), f"{OF_ONE}.uuid: expected 6 to 40 letters, digits and hyphens"),
    "a uuid with a dot": (one(uuid="123.456"), f"{OF_ONE}.uuid: expected 6 to 40 letters, digits and hyphens"),
    "a uuid and a line break": (one(uuid="123456\n"), f"{OF_ONE}.uuid: expected 6 to 40 letters, digits and hyphens"),
    "nothing of it": (one(amount=0), f"{OF_ONE}.amount: {NUMBERS}"),
    "less than nothing": (one(amount=-1), f"{OF_ONE}.amount: {NUMBERS}"),
    "more than 63 bits": (one(amount=2**63), f"{OF_ONE}.amount: {NUMBERS}"),
    "more than 64 bits": (one(amount=2**64), f"{OF_ONE}.amount: {NUMBERS}"),
    "an amount as text": (one(amount="10"), f"{OF_ONE}.amount: Expected `int`, got `str`"),
    "an amount with a fraction": (one(amount=10.5), f"{OF_ONE}.amount: Expected `int`, got `float`"),
    "no status": (one(newStatus=None), f"{OF_ONE}.newStatus: expected a status here or in oldStatus"),
    "a status that is none": (one(newStatus="Confirmed"), f"{OF_ONE}.newStatus: Invalid enum value 'Confirmed'"),
    "an empty status": (one(oldStatus=""), f"{OF_ONE}.oldStatus: Invalid enum value ''"),
    "an end that is no time": (one(expiresAt="tomorrow"), f"{OF_ONE}.expiresAt: Invalid RFC3339 encoded datetime"),
    "an end without a zone": (
        one(expiresAt="2028-01-01T00:00:00"),
        f"{OF_ONE}.expiresAt: Expected `datetime` with a timezone component",
    ),
    "an end before the first year": (
        one(expiresAt="0001-01-01T00:00:00+01:00"),
        f"{OF_ONE}.expiresAt: expected a time between the years 1 and 9999",
    ),
    "no end": (
        request({"p-1": {"byResource": {"r": changeset({"uuid": UUID, "amount": 1})}}}),
        f"{HERE}.commitments[0]: Object missing required field `expiresAt`",
    ),
    "an end before it begins": (
        one(confirmBy="2028-01-01T00:00:01Z"),
        f"{OF_ONE}.expiresAt: it ends before it begins: expected a time later than confirmBy",
    ),
    "an end where it begins": (
        one(confirmBy="2028-01-01T01:00:00+01:00"),
        f"{OF_ONE}.expiresAt: it ends before it begins: expected a time later than confirmBy",
    ),
    "sums of what is confirmed": (
        request({"p-1": {"byResource": {"r": changeset(commitment(), confirmed=(50, 61))}}}),
        f"{HERE}.totalConfirmedAfter: 50 before, 10 more and 0 less of the commitments listed do not make 61",
    ),
    "sums of what is guaranteed": (
        request({"p-1": {"byResource": {"r": changeset(commitment(oldStatus="guaranteed"))}}}),
        f"{HERE}.totalGuaranteedAfter: 15 before, 0 more and 10 less of the commitments listed do not make 15",
    ),
    "one commitment twice in a resource": (
        request(
            {
                "p-1": {
                    "byResource": {
                        "r": changeset(
                            commitment(), commitment(oldStatus="confirmed", newStatus=None), confirmed=(50, 50)
                        )
                    }
                }
            }
        ),
        f"byProject: commitment {UUID}: it is named more than once, and does not move from one project to another",
    ),
    "one commitment made in two projects": (
        request({name: {"byResource": {"r": changeset(commitment())}} for name in ("p-1", "p-2")}),
        f"byProject: commitment {UUID}: it is named more than once, and does not move from one project to another",
    ),
}


@pytest.mark.parametrize(("body", "why"), MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_changes_name_the_field(body: bytes, why: str) -> None:
    told = said(lambda: read_changes(body))

    assert told.startswith(why), told
    assert len(told) <= 501


def test_a_commitment_may_move_from_one_project_to_another() -> None:
    gone = changeset(commitment(oldStatus="confirmed", newStatus=None), confirmed=(60, 50))
    come = changeset(commitment(), confirmed=(0, 10))

    read = read_changes(request({"p-1": {"byResource": {"r": gone}}, "p-2": {"byResource": {"r": come}}}))

    assert [(project, each.uuid) for project, _, each in read.every()] == [("p-1", UUID), ("p-2", UUID)]


def test_sums_around_the_changes_are_not_taken_apart() -> None:
    """A broker that rounds differently, or forgets others: only what it lists has to make the difference."""
    split = changeset(
        commitment(oldStatus="guaranteed", newStatus="superseded"),
        commitment(uuid=OTHER, newStatus="guaranteed", amount=10),
        confirmed=(0, 0),
        guaranteed=(0, 0),
    )

    assert len(list(read_changes(request({"p": {"byResource": {"r": split}}})).every())) == 2


QUOTAS = {
    "a negative one": ('{"resources": {"r": {"quota": -1}}}', "resources['r'].quota: expected a number from 0"),
    "more than 63 bits": (f'{{"resources": {{"r": {{"quota": {2**63}}}}}}}', "resources['r'].quota: expected a number"),
    "no number": ('{"resources": {"r": {}}}', "resources['r']: Object missing required field `quota`"),
    "text": ('{"resources": {"r": {"quota": "1"}}}', "resources['r'].quota: Expected `int`, got `str`"),
    "by zone": (
        '{"resources": {"r": {"quota": 1, "perAZ": {"a": {"quota": 1}}}}}',
        "resources['r'].perAZ: quotas have no zones here",
    ),
    "no resources": ("{}", "Object missing required field `resources`"),
    "another project": (
        '{"resources": {}, "projectMetadata": {"uuid": "q", "name": "", "domain": {"uuid": "", "name": ""}}}',
        "projectMetadata.uuid: expected the id that stands before it",
    ),
}


@pytest.mark.parametrize(("body", "why"), QUOTAS.values(), ids=QUOTAS.keys())
def test_malformed_quotas_name_the_field(body: str, why: str) -> None:
    assert said(lambda: read_quotas(body.encode(), project="p")).startswith(why)


def test_quotas_are_read_exactly() -> None:
    body = json.dumps({"resources": {"a": {"quota": 0}, "b": {"quota": 2**63 - 1, "perAZ": None}}})

    assert read_quotas(body.encode(), project="p") == {"a": 0, "b": 2**63 - 1}


def test_zones_are_read_once_each_in_their_order() -> None:
    assert read_zones(b'{"allAZs": ["b", "a", "b"], "serializedState": {"x": 1}}', project="p") == ("b", "a")


ZONES = {
    "none at all": (b"{}", "Object missing required field `allAZs`"),
    "no list": (b'{"allAZs": "a"}', "allAZs: Expected `array | null`, got `str`"),
    "an empty one": (b'{"allAZs": ["a", ""]}', "allAZs[1]: expected the name of a zone"),
    "a word that is no zone": (b'{"allAZs": ["unknown"]}', "allAZs[0]: expected the name of a zone"),
    "too many": (json.dumps({"allAZs": ["a"] * 101}).encode(), "allAZs: expected at most 100 zones"),
    "another project": (b'{"allAZs": [], "projectMetadata": {"uuid": "q"}}', "projectMetadata.uuid: expected"),
}


@pytest.mark.parametrize(("body", "why"), ZONES.values(), ids=ZONES.keys())
def test_malformed_zones_name_the_field(body: bytes, why: str) -> None:
    assert said(lambda: read_zones(body, project="p")).startswith(why)


OFFERS = offers_of(classes())
BYTES = (2**63 - 1) // 2**20


def test_quotas_of_resources_that_are_not_offered_or_cannot_be_written_are_named() -> None:
    check_quotas({"h100_gpu": 2**63 - 1, "h100_memory": BYTES, "h100_cpu": 0}, OFFERS)
    why = "resources['h100_GPU']: there is no such resource, see GET v1/info"
    assert said(lambda: check_quotas({"h100_gpu": 1, "h100_GPU": 2}, OFFERS)) == why
    why = f"resources['h100_memory'].quota: expected at most {BYTES}: Kubernetes has no larger quantity of it"
    assert said(lambda: check_quotas({"h100_memory": BYTES + 1}, OFFERS)) == why


def test_changes_of_resources_that_are_not_offered_or_cannot_be_written_are_named() -> None:
    def of(name: str, amount: int) -> CommitmentRequest:
        changes = changeset(commitment(amount=amount, newStatus="planned"), confirmed=(0, 0))
        return read_changes(request({"p-1": {"byResource": {name: changes}}}))

    check_changes(of("h100_memory", BYTES), OFFERS)
    where = "byProject['p-1'].byResource"
    why = f"{where}['gpu']: there is no such resource, see GET v1/info"
    assert said(lambda: check_changes(of("gpu", 1), OFFERS)) == why
    why = f"{where}['h100_memory'].commitments[0].amount: expected at most {BYTES}: Kubernetes has no larger quantity"
    assert said(lambda: check_changes(of("h100_memory", BYTES + 1), OFFERS)).startswith(why)


def test_nothing_is_promised_of_a_class_that_takes_no_commitments_and_what_is_there_may_go() -> None:
    taking_none = Offers({"h100_cpu": Offer("h100_cpu", "h100", "requests.cpu", takes_commitments=False)})

    def of(**statuses: str | None) -> CommitmentRequest:
        changes = changeset(commitment(**statuses), confirmed=(60, 50) if statuses["newStatus"] is None else (50, 60))
        return read_changes(request({"p-1": {"byResource": {"h100_cpu": changes}}}))

    check_changes(of(oldStatus="confirmed", newStatus=None), taking_none)
    assert said(lambda: check_changes(of(oldStatus=None, newStatus="confirmed"), taking_none)) == (
        "byProject['p-1'].byResource['h100_cpu']: its class takes no commitments, see GET v1/info"
    )
