"""Callbacks. None of them uses a global random generator or changes the weights."""
