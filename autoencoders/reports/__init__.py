"""Build the report page: combine the files in run folders into one HTML or Markdown page.

The modules only read run folders. `autoencoders.report` writes the page. No module loads a model or imports
torch, except for the server if it also serves the explorer page.
"""
