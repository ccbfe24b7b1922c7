"""
The background path: what time brings, without a request.

Reservations that nothing came of are let go (`tending`), accounts follow the policy and the namespaces (`accounts`),
the book is compared with the API (`audit`), the API with its own past (`history`), and it is known which API servers
stand still (`pulse`).
"""

from webhook.reconcile.accounts import binding
from webhook.reconcile.audit import Lister, audit_forever, find_drift
from webhook.reconcile.history import HistoryCheck
from webhook.reconcile.pauses import Sleep
from webhook.reconcile.pulse import Pulse
from webhook.reconcile.tending import tend_forever

__all__ = ["HistoryCheck", "Lister", "Pulse", "Sleep", "audit_forever", "binding", "find_drift", "tend_forever"]
