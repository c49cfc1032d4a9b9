"""Metrics: pure functions that compute numbers from tensors or arrays, and running sums over batches."""
