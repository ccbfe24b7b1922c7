"""
Fuzzing of everything that reads what others wrote: one target for each reader, with what has to hold of any bytes.

`python -m fuzz` runs a target for long; tests/fuzz run each over the kept corpus and some thousand mutations of it.
"""
