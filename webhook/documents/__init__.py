"""Text that people write (policies, manifests) turned into values, every mistake with its place. Pure: no I/O."""
