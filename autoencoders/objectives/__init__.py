"""Losses of the autoencoders: likelihoods, posteriors, beta schedules, objectives, and KL weights of other projects."""
