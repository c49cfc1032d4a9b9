"""Functions on codes that need no network: densities, attribute directions, interpolation paths and projections."""
