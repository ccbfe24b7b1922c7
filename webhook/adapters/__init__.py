"""Everything that touches the outside. Each module implements one port or one protocol."""
