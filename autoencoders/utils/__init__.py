"""Helpers without domain knowledge, each in a module named after what it does."""
