"""
Zones as LIQUID names them: those of the nodes, and words for what is in none.
"""

from __future__ import annotations

UNKNOWN = "unknown"
"""The zone of what may be in several, or in one that was not asked for."""

NO_ZONES = frozenset({"", "any", UNKNOWN, "total"})
"""What LIQUID writes where there is a zone, and that is none."""
