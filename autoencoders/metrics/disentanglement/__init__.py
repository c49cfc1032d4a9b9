"""Scores that compare codes with known generating factors: pure functions of arrays.

In this package, N is the number of codes, Z the latent size, F the number of factors, and all arrays are NumPy arrays.
Factors are indices of values (N, F) int64, and each factor has at least two values.
"""
