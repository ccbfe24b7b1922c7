"""The content of an audit log, line by line."""

from __future__ import annotations

import json
from pathlib import Path

from nemesis.audit import audited
from nemesis.records import SESSIONS, Audited

EVENT = {
    "verb": "create",
    "user": {"username": "alice"},
    "requestURI": "/api/v1/namespaces/nemesis-a/pods?dryRun=All",
    "objectRef": {"resource": "pods", "namespace": "nemesis-a", "name": "x"},
    "responseStatus": {"code": 201},
    "annotations": {"validate.userquota.dev/owner": "alice", "authorization.k8s.io/decision": "allow"},
}


def log(folder: Path, *lines: str) -> list[Audited]:
    file = folder / "audit.jsonl"
    file.write_text("\n".join(lines))
    return list(audited([(2, file)]))


def test_a_decision_is_known_by_our_annotations(tmp_path: Path) -> None:
    undecided = {**EVENT, "annotations": {"authorization.k8s.io/decision": "allow"}}

    assert log(tmp_path, json.dumps(EVENT), json.dumps(undecided)) == [
        Audited(2, "create", "alice", "nemesis-a", "x", 201, is_dry_run=True, is_decided=True),
        Audited(2, "create", "alice", "nemesis-a", "x", 201, is_dry_run=True, is_decided=False),
    ]


def test_one_on_a_session_has_those_of_the_webhook_of_other_kinds(tmp_path: Path) -> None:
    where = {"resource": "notebooks", "apiGroup": "kubeflow.org", "namespace": "nemesis-a", "name": "x"}
    decided = {**EVENT, "objectRef": where, "annotations": {"counts.validate.userquota.dev/owner": "alice"}}

    (told,) = log(tmp_path, json.dumps(decided))

    assert (told.kind, told.is_decided) == (SESSIONS, True)


def test_a_line_that_was_cut_by_a_kill_is_left_out(tmp_path: Path) -> None:
    assert len(log(tmp_path, json.dumps(EVENT), json.dumps(EVENT)[:100])) == 1
