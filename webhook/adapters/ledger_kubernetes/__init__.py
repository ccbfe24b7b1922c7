"""
The ledger that any number of replicas share: one opaque text in a ConfigMap, replaced by compare-and-swap.

What the text says is `quota.ledger`'s; what a replica makes of it, `quota.ledger_mirror`'s.
"""

from webhook.adapters.ledger_kubernetes.config_map import NAME, LedgerConfigMap, LedgerWatch, StoredConfigMap
from webhook.adapters.ledger_kubernetes.keeper import LedgerKeeper
from webhook.adapters.ledger_kubernetes.store import SharedLedger
from webhook.adapters.ledger_kubernetes.stored import LedgerObject, LostSwapError, Stored

__all__ = [
    "NAME",
    "LedgerConfigMap",
    "LedgerKeeper",
    "LedgerObject",
    "LedgerWatch",
    "LostSwapError",
    "SharedLedger",
    "Stored",
    "StoredConfigMap",
]
