"""Functions that plot arrays as matplotlib figures.

They have no side effects: they do not save or show figures, and they do not use the global state of pyplot. Pixel value
0 is always black and 1 is always white.
"""
