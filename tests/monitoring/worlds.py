"""
Series in which an alert fires, and series in which the same alert just does not, in the notation of promtool.

Each is put beside a userquota that is well, of which no alert may be raised. A series that has the labels of one of
that replaces it. A sample is taken each minute for an hour; the alerts are looked at in the end.
"""

from __future__ import annotations

from dataclasses import dataclass

_HOUR = 3600

WELL = {
    'up{job="userquota",instance="a"}': "1x60",
    'process_start_time_seconds{job="userquota",instance="a"}': "1x60",
    'userquota_healthcheck{instance="a",name="draining",type="readyz"}': "1x60",
    'userquota_healthcheck{instance="a",name="policy",type="readyz"}': "1x60",
    'userquota_healthcheck{instance="a",name="ledger",type="warning"}': "1x60",
    'userquota_healthcheck{instance="a",name="policy-notes",type="warning"}': "1x60",
    'userquota_healthcheck{instance="a",name="view",type="warning"}': "1x60",
    'userquota_policy_valid{instance="a"}': "1x60",
    'userquota_certificate_expiration_timestamp_seconds{instance="a"}': f"{7 * 24 * _HOUR}x60",
    'userquota_reviews_total{instance="a",path="/validate",verdict="allowed"}': "0+100x60",
    'userquota_reviews_total{instance="a",path="/validate",verdict="denied"}': "0+100x60",
    'userquota_review_duration_seconds_bucket{instance="a",path="/validate",le="1"}': "0+200x60",
    'userquota_review_duration_seconds_bucket{instance="a",path="/validate",le="2.5"}': "0+200x60",
    'userquota_review_duration_seconds_bucket{instance="a",path="/validate",le="5"}': "0+200x60",
    'userquota_review_duration_seconds_bucket{instance="a",path="/validate",le="+Inf"}': "0+200x60",
    'userquota_errors_total{instance="a",reason="bodies"}': "0x60",
    'userquota_errors_total{instance="a",reason="internal"}': "0x60",
    'userquota_errors_total{instance="a",reason="registration-drift"}': "0x60",
    'userquota_errors_total{instance="a",reason="unauthenticated"}': "0x60",
    'userquota_expired_reservations_total{instance="a"}': "0x60",
    'userquota_ledgers_lost_total{instance="a"}': "0x60",
    'userquota_drift_total{instance="a",kind="missing"}': "0x60",
    'userquota_drift_total{instance="a",kind="phantom"}': "0x60",
    'userquota_unadmitted_objects_seen_total{instance="a"}': "0x60",
}


@dataclass(frozen=True)
class World:
    """What differs from WELL when the alert fires, by which labels it does, and what differs when it just does not."""

    fires: dict[str, str]
    labels: dict[str, str]
    silent: dict[str, str]


def _rejected(
    values: str, name: str = "validate.userquota.dev", error: str = "calling_webhook_error"
) -> dict[str, str]:
    labels = f'name="{name}",type="admit",operation="CREATE",error_type="{error}",rejection_code="0"'
    return {f"apiserver_admission_webhook_rejection_count{{{labels}}}": values}


def _passed(values: str, name: str) -> dict[str, str]:
    return {f'apiserver_admission_webhook_fail_open_count{{name="{name}",type="validating"}}': values}


def _error(reason: str, values: str) -> dict[str, str]:
    return {f'userquota_errors_total{{instance="a",reason="{reason}"}}': values}


def _check(name: str, of_type: str, values: str) -> dict[str, str]:
    return {f'userquota_healthcheck{{instance="a",name="{name}",type="{of_type}"}}': values}


def _failed_check(name: str, of_type: str) -> dict[str, str]:
    return {"instance": "a", "name": name, "type": of_type}


def _quota(used: int) -> dict[str, str]:
    labels = 'subject_kind="user",subject="alice",resource="requests.cpu"'
    hard, unused = f'userquota_quota{{instance="a",{labels},type="hard"}}', "gpu"
    return {
        hard: "10x60",
        f'userquota_quota{{instance="a",{labels},type="used"}}': f"{used}x60",
        f'userquota_quota{{instance="a",subject_kind="user",subject="bob",resource="{unused}",type="hard"}}': "0x60",
        f'userquota_quota{{instance="a",subject_kind="user",subject="bob",resource="{unused}",type="used"}}': "0x60",
    }


def _slow(below: int) -> dict[str, str]:
    """Of 200 reviews a minute *below* take no more than 2.5 seconds."""
    name = 'userquota_review_duration_seconds_bucket{instance="a",path="/validate",le="%s"}'
    return {name % "1": f"0+{below}x60", name % "2.5": f"0+{below}x60"}


_NOT_READY = 'userquota_reviews_total{instance="a",path="/validate",verdict="not-ready"}'
_OTHER_REPLICA = 'userquota_healthcheck{instance="b",name="policy",type="readyz"}'
_CERTIFICATE = 'userquota_certificate_expiration_timestamp_seconds{instance="a"}'
_STARTED = 'process_start_time_seconds{job="userquota",instance="a"}'
_TWO_DAYS_AND_AN_HOUR = 49 * _HOUR

WORLDS = {
    "UserquotaNoReplicaReady": World(
        # The last two minutes. The other replica has vanished from Prometheus half an hour ago.
        {**_check("policy", "readyz", "1x58 0 0"), _OTHER_REPLICA: "1x30 stale"},
        {},
        {**_check("policy", "readyz", "1x58 0 0"), _OTHER_REPLICA: "1x60"},
    ),
    "UserquotaCallsFail": World(
        _rejected("0x50 0+1x10"),
        {"name": "validate.userquota.dev"},
        {
            **_rejected("0+1x60", name="validate.example.com"),
            **_rejected("0+1x60", error="no_error"),
            **_rejected("0+1x40 40x20"),
        },
    ),
    "UserquotaCallsFailOpen": World(
        _passed("0x50 0+1x10", "advise.userquota.dev"),
        {"name": "advise.userquota.dev"},
        {**_passed("0+1x60", "advise.example.com"), **_passed("0+1x40 40x20", "advise.userquota.dev")},
    ),
    "UserquotaErrorRatio": World({_NOT_READY: "0+12x60"}, {}, {_NOT_READY: "0+9x60"}),
    "UserquotaSlow": World(_slow(196), {"path": "/validate"}, _slow(199)),
    "UserquotaLedgerUnusable": World(
        _check("ledger", "warning", "1x57 0 0 0"),
        _failed_check("ledger", "warning"),
        _check("ledger", "warning", "1x59 0"),
    ),
    "UserquotaLedgerLost": World(
        {'userquota_ledgers_lost_total{instance="a"}': "0x50 1x10"},
        {},
        {'userquota_ledgers_lost_total{instance="a"}': "0x30 1x30"},
    ),
    "UserquotaCertificateNearEnd": World(
        {_CERTIFICATE: f"{48 * _HOUR}x60"}, {"instance": "a"}, {_CERTIFICATE: f"{_TWO_DAYS_AND_AN_HOUR}x60"}
    ),
    "UserquotaReplicaNotReady": World(
        {**_check("policy", "readyz", "1x45 0x14"), _OTHER_REPLICA: "1x60"},
        _failed_check("policy", "readyz"),
        {**_check("policy", "readyz", "1x54 0x5"), _OTHER_REPLICA: "1x60"},
    ),
    "UserquotaReplicaUnreachable": World(
        {'up{job="userquota",instance="b"}': "1x50 0x9"},
        {"job": "userquota", "instance": "b"},
        {'up{job="userquota",instance="b"}': "1x57 0x2", 'up{job="other",instance="b"}': "0x60"},
    ),
    "UserquotaRestarts": World(
        {_STARTED: "1x40 2 3 4x18"}, {"job": "userquota", "instance": "a"}, {_STARTED: "1x20 2 3x20 4x18"}
    ),
    "UserquotaInternalError": World(_error("internal", "0x50 1x9"), {}, _error("internal", "0x30 1x29")),
    "UserquotaDrift": World(
        {'userquota_drift_total{instance="a",kind="missing"}': "0x40 3x19"},
        {"kind": "missing"},
        {'userquota_drift_total{instance="a",kind="missing"}': "0x20 3x39"},
    ),
    "UserquotaUnadmittedObjects": World(
        {'userquota_unadmitted_objects_seen_total{instance="a"}': "0x50 1x9"},
        {},
        {
            'userquota_unadmitted_objects_seen_total{instance="a"}': "0x30 1x29",
            'userquota_unadmitted_objects{instance="a"}': "40x60",
        },
    ),
    "UserquotaPolicyInvalid": World(
        {'userquota_policy_valid{instance="a"}': "1x50 0x9"}, {}, {'userquota_policy_valid{instance="a"}': "1x57 0x2"}
    ),
    "UserquotaRegistrationDrift": World(
        _error("registration-drift", "0x50 1x9"), {}, _error("registration-drift", "0x30 1x29")
    ),
    "UserquotaReservationsExpire": World(
        {'userquota_expired_reservations_total{instance="a"}': "0+2x60"},
        {},
        {'userquota_expired_reservations_total{instance="a"}': "0+1x60"},
    ),
    "UserquotaSheds": World(_error("bodies", "0x40 0+3x19"), {}, _error("bodies", "0x30 0+3x10 30x20")),
    "UserquotaUnprovenCallers": World(
        _error("unauthenticated", "0x50 1x9"), {}, _error("unauthenticated", "0x30 1x29")
    ),
    "UserquotaDegraded": World(
        _check("view", "warning", "1x20 0x39"),
        _failed_check("view", "warning"),
        {**_check("view", "warning", "1x40 0x19"), **_check("policy-notes", "warning", "0x60")},
    ),
    "UserquotaQuotaAlmostFull": World(
        _quota(9), {"subject_kind": "user", "subject": "alice", "resource": "requests.cpu"}, _quota(8)
    ),
}
