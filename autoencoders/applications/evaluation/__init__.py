"""The parts of `application=evaluate`, by subject; each gives rows of one table."""
