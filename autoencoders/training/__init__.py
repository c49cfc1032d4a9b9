"""One training run from its configuration to its records, and sweeps of such runs."""
