"""`userquota policy validate`: 0 for a good policy, 1 with every mistake, 2 for what cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.running import Ended, userquota

pytestmark = pytest.mark.slow

GOOD = "version: 1\nusers: {alice: {hard: {cpu: 1}}}\n"
BAD = "version: 1\nusers: {alice: {hard: {cpu: 1K}}}\ncombine: least\n"
MISTAKES = (
    "bad.yaml:2:29: users.alice.hard.cpu: invalid quantity '1K': unknown suffix 'K', did you mean k or Ki?\n"
    "bad.yaml:3:10: combine: input should be 'most-restrictive', 'max' or 'sum'\n"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "good.yaml").write_text(GOOD)
    (tmp_path / "bad.yaml").write_text(BAD)
    (tmp_path / "early.yaml").write_text("version: 1\ncluster: {hard: {sessions: 1}}\n")
    (tmp_path / "ended.yaml").write_text(GOOD.replace("}}}", "}, until: 2020-01-01T00:00:00Z}}"))
    (tmp_path / "exempt.yaml").write_text("version: 1\nnamespaces: {kube-system: {hard: {cpu: 1}}}\n")
    (tmp_path / "empty.yaml").write_text("# version: 1\n")
    (tmp_path / "none").mkdir()
    (tmp_path / "tree/base/.git").mkdir(parents=True)
    (tmp_path / "tree/base/limits.yml").write_text(MANIFESTS)
    (tmp_path / "tree/base/.git/other.yaml").write_text(BAD)
    (tmp_path / "tree/base/README.txt").write_text("nothing")
    (tmp_path / "tree/raw.json").write_text('{"version": 1, "users": {"carol": {"hard": {"cpu": 1}}}}')
    (tmp_path / "plain.yaml").write_text(MANIFESTS.replace("userquota.dev", "example.com"))
    (tmp_path / "latin.yaml").write_bytes(b"version: 1\nusers: {j\xf6rg: {}}\n")
    return tmp_path


MANIFESTS = """\
apiVersion: v1
kind: Service
metadata: {name: web}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: limits
  labels: {userquota.dev/policy: "true"}
data:
  policy.yaml: |
    version: 1
    users: {bob: {hard: {memory: 500m}}}
"""
PASSED_OVER = "passed over: {}:1:1: Service web: no ConfigMap\n"
HALF_A_BYTE = "users.bob.hard.memory: 500m is less than one byte, did you mean 500M?\n"
NO_POLICY = (
    "userquota: no policy in what was given: "
    'label its ConfigMap userquota.dev/policy: "true", or name it: --config-map\n'
)
NO_LABEL = "passed over: plain.yaml:5:1: ConfigMap limits: the label userquota.dev/policy is missing\n"
NO_PRESET = "nothing is a session without sessions.presets; the limit has no effect"
NOTE = f"note: early.yaml:2:28: cluster.hard.sessions: {NO_PRESET}\n"
CASES = {
    "a good one": (["good.yaml"], Ended(0, "valid\n", "")),
    "a bad one": (["bad.yaml"], Ended(1, MISTAKES, "2 mistakes\n")),
    "several make one policy": (
        ["good.yaml", "bad.yaml", "early.yaml"],
        Ended(1, MISTAKES, f"{NOTE}2 mistakes\n"),
    ),
    "one that does not count yet": (["early.yaml"], Ended(0, "valid\n", NOTE)),
    "one of a namespace that the manifests exempt": (
        ["exempt.yaml"],
        Ended(
            0,
            "valid\n",
            "note: exempt.yaml:2:27: namespaces.kube-system: the webhooks leave namespace kube-system out, and nothing "
            "in it is counted: this refuses nothing\n",
        ),
    ),
    "one that does not count yet, strictly": (["--strict", "early.yaml"], Ended(1, "", f"{NOTE}1 note\n")),
    "a good one, strictly": (["--strict", "good.yaml"], Ended(0, "valid\n", "")),
    "one of which a part has ended": (
        ["ended.yaml"],
        Ended(
            0,
            "valid\n",
            "note: ended.yaml:2:40: users.alice.until: ended at 2020-01-01T00:00:00Z: it binds nobody any more\n",
        ),
    ),
    "the same one twice": (
        ["good.yaml", "good.yaml"],
        Ended(1, "good.yaml:2:16: users.alice: already defined at good.yaml:2\n", "1 mistake\n"),
    ),
    "an emptied one": (
        ["empty.yaml"],
        Ended(1, "empty.yaml:1:1: no policy in it; one that limits nobody says version: 1\n", "1 mistake\n"),
    ),
    "all below a folder": (
        ["tree"],
        Ended(
            0,
            "valid\n",
            f"{PASSED_OVER.format('tree/base/limits.yml')}note: tree/base/limits.yml:13:34: {HALF_A_BYTE}",
        ),
    ),
    "manifests without a policy": (
        ["plain.yaml"],
        Ended(2, "", f"{PASSED_OVER.format('plain.yaml')}{NO_LABEL}{NO_POLICY}"),
    ),
    "manifests with one that is named": (
        ["plain.yaml", "--config-map", "limits"],
        Ended(0, "valid\n", f"{PASSED_OVER.format('plain.yaml')}note: plain.yaml:13:34: {HALF_A_BYTE}"),
    ),
    "one that is named and not there": (
        ["good.yaml", "--config-map", "limits"],
        Ended(2, "", "userquota: no ConfigMap limits in what was given\n"),
    ),
    "one that is not UTF-8": (["latin.yaml"], Ended(2, "", "userquota: latin.yaml: not UTF-8 at byte 20\n")),
    "one that is not there": (["nowhere.yaml"], Ended(2, "", "userquota: nowhere.yaml: No such file or directory\n")),
    "a folder without one": (["none"], Ended(2, "", "userquota: none: no .yaml, .yml or .json file in it\n")),
    "a good one and one that is not there": (
        ["good.yaml", "nowhere.yaml"],
        Ended(2, "", "userquota: nowhere.yaml: No such file or directory\n"),
    ),
}


@pytest.mark.parametrize(("names", "ended"), CASES.values(), ids=CASES.keys())
def test_a_policy_is_judged(folder: Path, names: list[str], ended: Ended) -> None:
    assert userquota("policy", "validate", *names, folder=folder) == ended


def test_a_policy_comes_through_standard_input(folder: Path) -> None:
    ended = userquota("policy", "validate", "-", folder=folder, stdin=BAD.encode())

    assert ended == Ended(1, MISTAKES.replace("bad.yaml", "stdin"), "2 mistakes\n")


def test_without_a_file_it_is_told_how_to_use_it(folder: Path) -> None:
    ended = userquota("policy", "validate", folder=folder)

    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("Usage: userquota policy validate [OPTIONS] PATHS...\n")
