"""Run folders: write the record of a run, and load a trained run from its folder."""
