"""Reports: combine the files of runs and sweeps into one HTML or Markdown page.

The modules read run folders only. They write nothing, load no model, and do not import torch.
"""
