"""Autoencoder -> AE | VAE -> CVAE, and PCA, the exact linear baseline, all behind one interface."""
