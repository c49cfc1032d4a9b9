"""Parsing, composition and validation of the configuration, and instantiation of the objects that it names."""
