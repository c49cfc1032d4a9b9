"""Densities, directions, paths and projections of codes, without a network."""
