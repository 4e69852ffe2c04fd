"""A long mixed load with faults, and what it leaves: ``python -m tests.soak --help``."""
