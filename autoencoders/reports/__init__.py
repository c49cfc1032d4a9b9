"""Runs and sweeps bound into one page: what lies in their folders -> tables and pictures -> HTML or Markdown.

Everything here reads the disk alone and writes nothing; no model is opened, and torch is not loaded.
"""
