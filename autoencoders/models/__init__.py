"""Models: Autoencoder with AE, VAE, CVAE and PCA (the exact linear baseline), and Classifier."""
