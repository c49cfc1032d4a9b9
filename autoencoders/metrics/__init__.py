"""Metrics: pure functions and sums on tensors. They return numbers, not figures."""
