"""Compares the webhook with the alternatives, on this machine. Nothing here is part of the product."""
