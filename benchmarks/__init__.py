"""Compares the webhook with what others would run, on this machine. Nothing here is part of the product."""
