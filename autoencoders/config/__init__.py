"""From the command line to a validated configuration and the objects that it names."""
