"""What can be said of codes without a network: projections, densities. Arrays in, arrays out."""
