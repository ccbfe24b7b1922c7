"""Checks the promises of docs/consistency.md on real processes, while these are killed, paused and given wrong data."""
