"""Models: the autoencoders AE, VAE, CVAE and PCA (the exact linear baseline), and a classifier."""
