"""Datasets: each says where its uint8 images and labels come from; `base.py` does everything else."""
