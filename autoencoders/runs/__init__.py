"""The folder of a run: what is written to it, and how a trained run is loaded from it."""
