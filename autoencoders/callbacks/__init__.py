"""When a figure is due, and of which batch. None of them touches a global random generator or the weights."""
