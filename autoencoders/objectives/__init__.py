"""Terms of the loss: likelihoods (distortion), posteriors (rate) and beta schedules."""
