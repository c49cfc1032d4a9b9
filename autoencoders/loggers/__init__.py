"""Loggers, and the delivery of figures and tables to disk and to every logger."""
