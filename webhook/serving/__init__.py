"""The HTTP side: reviews in, answers out, health and metrics."""
