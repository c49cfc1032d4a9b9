"""Datasets: one `LightningDataModule` each, which reads uint8 images and labels; `datamodule.py` does the rest."""
