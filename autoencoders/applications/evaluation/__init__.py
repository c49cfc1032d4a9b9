"""Rows of the table of `application=evaluate`, by topic."""
