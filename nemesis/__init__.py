"""Proves the promise of docs/consistency.md on real processes, while they are killed, stopped and lied to."""
