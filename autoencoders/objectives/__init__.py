"""What is minimized: likelihoods (distortion), posteriors (rate) and penalties (beta)."""
