"""Functions that turn arrays into matplotlib figures.

They have no side effects: they save nothing, show nothing, and do not use the global state of pyplot. Images are drawn
in the fixed range [0, 1] and enlarged by an integer factor, so that every pixel stays square.
"""
