"""Datasets as Lightning data modules. Their base class in `datamodule.py` builds the splits and the batches."""
