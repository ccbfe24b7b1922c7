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
    'userquota_errors_total{instance="a",reason="overload"}': "0x60",
    'userquota_errors_total{instance="a",reason="registration-drift"}': "0x60",
    'userquota_errors_total{instance="a",reason="unauthenticated"}': "0x60",
    'userquota_expired_reservations_total{instance="a"}': "0x60",
    'userquota_ledgers_lost_total{instance="a"}': "0x60",
    'userquota_drift_total{instance="a",kind="missing"}': "0x60",
    'userquota_drift_total{instance="a",kind="phantom"}': "0x60",
    'userquota_unadmitted_objects_seen_total{instance="a"}': "0x60",
}


@dataclass(frozen=True)
class Worlds:
    """What differs from WELL when the alert fires, with which labels it does, and what differs when it does not yet."""

    fires: dict[str, str]
    labels: dict[str, str]
    silent: tuple[dict[str, str], ...]


def worlds(fires: dict[str, str], labels: dict[str, str], *silent: dict[str, str]) -> Worlds:
    return Worlds(fires, labels, silent)


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


def _quota(used: str, of_nothing: str = "0x60") -> dict[str, str]:
    """Alice may have 10 CPUs, bob no GPU."""
    alice, bob = 'subject="alice",resource="requests.cpu"', 'subject="bob",resource="gpu"'
    return {
        f'userquota_quota{{instance="a",subject_kind="user",{whose},type="{of_type}"}}': values
        for whose, of_type, values in (
            (alice, "hard", "10x60"),
            (alice, "used", used),
            (bob, "hard", "0x60"),
            (bob, "used", of_nothing),
        )
    }


def _slow(minutes: int, *, bounds: tuple[str, ...] = ("1", "2.5")) -> dict[str, str]:
    """Of 200 reviews a minute, four took longer than *bounds* in each of the last *minutes*."""
    fast = 60 - minutes
    values = f"0+200x{fast} {200 * fast + 196}+196x{minutes - 1}"
    name = 'userquota_review_duration_seconds_bucket{instance="a",path="/validate",le="%s"}'
    return {name % bound: values for bound in bounds}


_NOT_READY = 'userquota_reviews_total{instance="a",path="/validate",verdict="not-ready"}'
_OTHER_REPLICA = 'userquota_healthcheck{instance="b",name="policy",type="readyz"}'
_CERTIFICATE = 'userquota_certificate_expiration_timestamp_seconds{instance="a"}'
_STARTED = 'process_start_time_seconds{job="userquota",instance="a"}'
_WEEK, _TWO_DAYS = 7 * 24 * _HOUR, 48 * _HOUR

WORLDS = {
    "UserquotaNoReplicaReady": worlds(
        # The other replica has vanished from Prometheus half an hour ago.
        {**_check("policy", "readyz", "1x58 0 0"), _OTHER_REPLICA: "1x30 stale"},
        {},
        {**_check("policy", "readyz", "1x58 0 0"), _OTHER_REPLICA: "1x60"},
        _check("policy", "readyz", "1x59 0"),
    ),
    "UserquotaCallsFail": worlds(
        _rejected("0x50 0+1x10"),
        {"name": "validate.userquota.dev"},
        {
            **_rejected("0+1x60", name="validate.example.com"),
            **_rejected("0+1x60", error="no_error"),
            **_rejected("0+1x40 40x20"),
        },
        _rejected("0x59 1"),
    ),
    "UserquotaCallsFailOpen": worlds(
        _passed("0x50 0+1x10", "advise.userquota.dev"),
        {"name": "advise.userquota.dev"},
        {**_passed("0+1x60", "advise.example.com"), **_passed("0+1x40 40x20", "advise.userquota.dev")},
    ),
    "UserquotaErrorRatio": worlds(
        {_NOT_READY: "0x45 0+12x14"}, {}, {_NOT_READY: "0+9x60"}, {_NOT_READY: "0x57 100 200 300"}
    ),
    "UserquotaSlow": worlds(_slow(15), {"path": "/validate"}, _slow(3), _slow(15, bounds=("1",))),
    "UserquotaLedgerUnusable": worlds(
        _check("ledger", "warning", "1x57 0 0 0"),
        _failed_check("ledger", "warning"),
        _check("ledger", "warning", "1x59 0"),
    ),
    "UserquotaLedgerLost": worlds(
        {'userquota_ledgers_lost_total{instance="a"}': "0x50 1x10"},
        {},
        {'userquota_ledgers_lost_total{instance="a"}': "0x30 1x30"},
    ),
    "UserquotaCertificateNearEnd": worlds(
        {_CERTIFICATE: f"{_WEEK}x40 {_TWO_DAYS}x19"},
        {"instance": "a"},
        {_CERTIFICATE: f"{_TWO_DAYS + 2 * _HOUR}x60"},
        {_CERTIFICATE: f"{_WEEK}x55 {_TWO_DAYS}x4"},
    ),
    "UserquotaReplicaNotReady": worlds(
        {**_check("policy", "readyz", "1x45 0x14"), _OTHER_REPLICA: "1x60"},
        _failed_check("policy", "readyz"),
        {**_check("policy", "readyz", "1x54 0x5"), _OTHER_REPLICA: "1x60"},
    ),
    "UserquotaReplicaUnreachable": worlds(
        {'up{job="userquota",instance="b"}': "1x50 0x9"},
        {"job": "userquota", "instance": "b"},
        {'up{job="userquota",instance="b"}': "1x57 0x2", 'up{job="other",instance="b"}': "0x60"},
    ),
    "UserquotaRestarts": worlds(
        {_STARTED: "1x40 2 3 4x18"},
        {"job": "userquota", "instance": "a"},
        {_STARTED: "1x20 2x20 3 4x18", 'process_start_time_seconds{job="other",instance="a"}': "0+1x60"},
    ),
    "UserquotaInternalError": worlds(_error("internal", "0x50 1x9"), {}, _error("internal", "0x30 1x29")),
    "UserquotaDrift": worlds(
        {'userquota_drift_total{instance="a",kind="missing"}': "0x40 3x19"},
        {"kind": "missing"},
        {'userquota_drift_total{instance="a",kind="missing"}': "0x20 3x39"},
    ),
    "UserquotaUnadmittedObjects": worlds(
        {'userquota_unadmitted_objects_seen_total{instance="a"}': "0x50 1x9"},
        {},
        {
            'userquota_unadmitted_objects_seen_total{instance="a"}': "0x30 1x29",
            'userquota_unadmitted_objects{instance="a"}': "40x60",
        },
    ),
    "UserquotaPolicyInvalid": worlds(
        {'userquota_policy_valid{instance="a"}': "1x50 0x9"}, {}, {'userquota_policy_valid{instance="a"}': "1x57 0x2"}
    ),
    "UserquotaRegistrationDrift": worlds(
        _error("registration-drift", "0x50 1x9"), {}, _error("registration-drift", "0x30 1x29")
    ),
    "UserquotaReservationsExpire": worlds(
        {'userquota_expired_reservations_total{instance="a"}': "0+2x60"},
        {},
        {'userquota_expired_reservations_total{instance="a"}': "0+1x60"},
        {'userquota_expired_reservations_total{instance="a"}': "0x58 50 100"},
    ),
    "UserquotaSheds": worlds(
        {**_error("bodies", "0x40 0+3x19"), **_error("overload", "0x40 0+3x19")},
        {},
        _error("bodies", "0x30 0+3x10 30x20"),
        _error("overload", "0x58 3 6"),
    ),
    "UserquotaUnprovenCallers": worlds(
        _error("unauthenticated", "0x50 1x9"), {}, _error("unauthenticated", "0x30 1x29")
    ),
    "UserquotaDegraded": worlds(
        _check("view", "warning", "1x20 0x39"),
        _failed_check("view", "warning"),
        {**_check("view", "warning", "1x40 0x19"), **_check("policy-notes", "warning", "0x60")},
    ),
    "UserquotaQuotaAlmostFull": worlds(
        _quota("1x40 9x19"),
        {"subject_kind": "user", "subject": "alice", "resource": "requests.cpu"},
        _quota("8x60", of_nothing="1x60"),
        _quota("1x50 9x9"),
    ),
}
