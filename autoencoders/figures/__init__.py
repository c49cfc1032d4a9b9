"""Arrays -> matplotlib Figure. Pure: nothing here saves, shows, or touches pyplot's global state.

Images are drawn in the fixed range [0, 1], enlarged by a whole factor so that every pixel stays square.
"""
