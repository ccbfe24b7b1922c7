"""
`userquota commitments offer`, `withdraw-offer` and `accept`: what they take, and what they print.

tests/cluster/test_commitment_commands.py has what they do.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from tests.cli.running import in_process
from webhook.cli.commitment_tables import offered_until, show_edited, show_offered
from webhook.cli.view_client import commitments_in
from webhook.quota.commitments import Commitment, Pool, State
from webhook.quota.quantity import NANOS
from webhook.quota.subject import tenant
from webhook.quota.transfer_offer import TransferOffer, digest_of
from webhook.wiring.commitment_editor import Changed, Edited, What

TOKEN = "4f1c"  # noqa: S105 - it opens nothing
ACCEPT = ["accept", TOKEN]
SUBJECTS = "expected tenant/NAME, group/NAME, user/NAME, namespace/NAME or serviceAccount/NAMESPACE/NAME"
MISUSES = {
    "offer: two ends": (
        ["offer", "c-1", "--for", "7 days", "--until", "2099-01-01T00:00:00Z"],
        "give one of --until and --for",
    ),
    "offer: no zone of a time": (["offer", "c-1", "--until", "2099-01-01"], "--until: the time zone is missing: write"),
    "offer: no time": (["offer", "c-1", "--until", "7 days"], "--until: expected a time, as in 2027-01-31T00:00:00Z"),
    "offer: no period": (["offer", "c-1", "--for", "7d"], "--for: '7d' is no period: expected one such as 1 year,"),
    "offer: a part without a name": (["offer", "c-1", "--amount", "gpu=1"], "--amount and --into go together: a part"),
    "offer: a name without a part": (["offer", "c-1", "--into", "c-2"], "--amount and --into go together: a part"),
    "offer: names alone, which lose the token": (["offer", "c-1", "-o", "name"], "Invalid value for '-o' / '--output'"),
    "withdraw: nothing": (["withdraw-offer"], "Missing argument 'NAME'."),
    "accept: no token": (["accept", "--to", "tenant/ads"], "give the token, - for standard input, or --token-file"),
    "accept: two tokens": (
        [*ACCEPT, "--token-file", "x", "--to", "tenant/ads"],
        "give the token, - for standard input, or --token-file",
    ),
    "accept: to nobody": (ACCEPT, "say to whom, by one of --to-tenant, --to-group, --to-user, --to-service-account,"),
    "accept: to two": ([*ACCEPT, "--to", "tenant/a", "--to-tenant", "a"], "say to whom, by one of --to-tenant"),
    "accept: to a name alone": ([*ACCEPT, "--to", "ads"], f"--to: ads: {SUBJECTS}"),
    "accept: to no kind": ([*ACCEPT, "--to", "team/ads"], f"--to: team/ads: {SUBJECTS}"),
    "accept: to no name": ([*ACCEPT, "--to", "tenant/"], "--to: expected a name without spaces around it"),
    "accept: to no service account": (
        [*ACCEPT, "--to", "serviceAccount/ci"],
        "--to: expected a service account as <namespace>/<name>",
    ),
    "accept: an empty token": (["accept", " ", "--to", "tenant/ads"], "TOKEN: expected one token, and nothing else"),
    "accept: nothing on standard input": (["accept", "-", "--to", "tenant/ads"], "-: expected one token, and nothing"),
}


@pytest.mark.parametrize(("words", "why"), MISUSES.values(), ids=MISUSES.keys())
def test_a_wrong_use_is_told_and_nobody_is_asked(words: list[str], why: str) -> None:
    ended = in_process("commitments", *words)
    assert (ended.code, ended.out) == (2, "")
    assert f"Error: {why}" in ended.err


def test_a_file_that_holds_no_token_is_told(tmp_path: Path) -> None:
    to = ("--to", "tenant/ads")
    file = tmp_path / "token"
    missing = in_process("commitments", "accept", "--token-file", str(file), *to)
    assert (missing.code, missing.err) == (2, f"userquota: {file}: No such file or directory\n")
    file.write_text("4f1c 4f1d\n")
    assert f"Error: {file}: expected one token, and nothing else" in (
        in_process("commitments", "accept", "--token-file", str(file), *to).err
    )


def test_what_is_changed_is_never_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TOKEN", "TOKEN_FILE", "TO", "TO_SUBJECT"):
        monkeypatch.setenv(f"USERQUOTA_{name}", "tenant/ads")
    assert "give the token" in in_process("commitments", "accept", "--to", "tenant/ads").err
    assert "say to whom" in in_process("commitments", "accept", TOKEN).err


UNTIL = datetime(2027, 1, 1, tzinfo=UTC)
MADE = Commitment("c-1", tenant("research"), Pool("h100", "a"), {"gpu": 8 * NANOS})
OFFERED = replace(MADE, offer=TransferOffer(digest_of(TOKEN), UNTIL))
EDITED = Edited((Changed(What.CHANGED, OFFERED, State.CONFIRMED),), ("be careful",))
CHANGED = """\
CHANGE    NAME   HOLDER            POOL     STATE       AMOUNTS   FROM   UNTIL
changed   c-1    tenant/research   h100:a   confirmed   gpu=8     -      -
"""
TABLE = f"""\
{CHANGED}
OFFERED   UNTIL                  TOKEN
c-1       2027-01-01T00:00:00Z   4f1c
"""
WARNED = "Warning: be careful\n"
STORED_NOTHING = "dry run: it would be accepted now, nothing was stored\n"


def test_the_token_stands_below_the_table_and_by_itself_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    show_offered(EDITED, TOKEN, "table", dry_run=False)
    assert capsys.readouterr() == (TABLE, WARNED)
    for_ever = replace(OFFERED, offer=TransferOffer(digest_of(TOKEN)))
    show_offered(Edited((Changed(What.CHANGED, for_ever, State.CONFIRMED),)), TOKEN, "table", dry_run=False)
    assert capsys.readouterr().out.endswith("OFFERED   UNTIL   TOKEN\nc-1       -       4f1c\n")
    show_offered(EDITED, TOKEN, "token", dry_run=False)
    assert capsys.readouterr() == ("4f1c\n", WARNED)
    show_offered(EDITED, TOKEN, "json", dry_run=False)
    told = json.loads(capsys.readouterr().out)
    assert (told["token"], told["items"][0]["spec"]["offer"]) == (TOKEN, {"until": "2027-01-01T00:00:00Z"})
    show_offered(EDITED, TOKEN, "yaml", dry_run=False)
    assert yaml.safe_load(capsys.readouterr().out) == told


@pytest.mark.parametrize("output", ["table", "json", "yaml", "token"])
def test_of_what_is_only_judged_there_is_no_token(capsys: pytest.CaptureFixture[str], output: str) -> None:
    show_offered(EDITED, TOKEN, output, dry_run=True)
    said = capsys.readouterr()
    assert TOKEN not in said.out
    assert said.err == f"{WARNED}{STORED_NOTHING}"


@pytest.mark.parametrize(
    ("offer", "state", "told"),
    [
        ({}, "confirmed", "until withdrawn"),
        ({"until": "2027-01-01T00:00:00Z"}, "pending", "until 2027-01-01T00:00:00Z"),
        ({"until": "2026-12-31T23:59:59Z"}, "confirmed", "-"),
        ({"until": "2026-12-31T23:59:58Z"}, "confirmed", "-"),
        ({}, "expired", "-"),
        (None, "confirmed", "-"),
    ],
)
def test_a_list_says_until_when_one_may_be_accepted(offer: object, state: str, told: str) -> None:
    spec = {
        "holder": "tenant/research",
        "nodeClass": "h100",
        "amounts": {},
        **({} if offer is None else {"offer": offer}),
    }
    document = {"metadata": {"name": "c-1"}, "spec": spec, "status": {"state": state, "used": {}}}
    [found] = commitments_in(document)
    assert offered_until(found, datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC)) == told


@pytest.mark.parametrize("output", ["table", "json", "yaml"])
def test_the_digest_is_never_printed(capsys: pytest.CaptureFixture[str], output: str) -> None:
    show_offered(EDITED, TOKEN, output, dry_run=False)
    show_edited(EDITED, output, dry_run=False)
    assert "sha256" not in capsys.readouterr().out
