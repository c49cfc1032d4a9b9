"""Lightning callbacks for figures, checks, checkpoints and progress.

No callback uses a global random generator or changes the weights of the model.
"""
