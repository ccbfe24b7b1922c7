"""Finds the payer of an object, and records it in a stamp on the object."""
