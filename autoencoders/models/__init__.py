"""Models: the autoencoders AE, VAE, CVAE, SupervisedAE and PCA (the exact linear baseline), and a classifier."""
