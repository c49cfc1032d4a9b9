"""Loggers, and a media writer that saves figures and tables and passes them to all loggers."""
