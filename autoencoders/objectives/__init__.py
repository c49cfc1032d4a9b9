"""What is minimised: likelihoods (distortion), posteriors (rate) and penalties (beta)."""
