"""How a source of commitments is given to `userquota commitments sync`; what it does is in tests/cluster."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.running import in_process


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["http://a/list"], "SOURCE: expected https://HOST/PATH, without a user: a token is read from a file"),
        (["https://u:p@a/list"], "SOURCE: expected https://HOST/PATH, without a user"),
        (["list.yaml", "--token-file", "t"], "--token-file, --ca-file: go with an https:// SOURCE"),
        (["list.yaml", "--ca-file", "t"], "--token-file, --ca-file: go with an https:// SOURCE"),
        (["list.yaml", "--every", "5"], "--every: '5' is no duration: expected one such as 8h or 1h30m"),
        (["list.yaml", "--every", "9s"], "--every: expected 10s or more"),
        (["-", "--every", "5m"], "--every: goes without --dry-run, and with a file or an address"),
        (["list.yaml", "--every", "5m", "--dry-run"], "--every: goes without --dry-run"),
        (["list.yaml", "--force", "because"], "--force: entries are taken over as far as there is room"),
    ],
)
def test_wrong_use_is_told(words: list[str], why: str) -> None:
    ended = in_process("commitments", "sync", *words)
    assert (ended.code, ended.out) == (2, "")
    assert why in ended.err


def test_a_source_is_one_file(tmp_path: Path) -> None:
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text("commitments: {}")
    ended = in_process("commitments", "sync", str(tmp_path))
    assert (ended.code, f"{tmp_path}: expected one file, not a folder with 2" in ended.err) == (2, True)


def test_a_list_that_cannot_be_read_is_told_before_a_cluster_is_asked(tmp_path: Path) -> None:
    (tmp_path / "list.yaml").write_text("commitments: [")
    ended = in_process("commitments", "sync", str(tmp_path / "list.yaml"), "--kubeconfig", str(tmp_path / "none"))
    assert (ended.code, "list.yaml:1:" in ended.err) == (2, True)
