"""Rehearses, on a real control plane under load, what administrators do once: installing, and handing over."""
