"""Configuration of the documentation site; `make docs` builds it."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import autoencoders

project = "autoencoders"
author = "The autoencoders developers"
copyright = author
version = release = autoencoders.__version__
llms_summary = (
    "A PyTorch Lightning framework for training, evaluating and applying AE, VAE and CVAE models on images. Runs are "
    "configured with Hydra, are logged to W&B, and report every metric with a baseline."
)

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton", "sitegen.sphinx_hooks"]
exclude_patterns = ["_build", "sitegen"]
suppress_warnings = ["ref.python"]  # a name in an annotation that several modules define, such as a type alias

smartquotes = False

# Markdown. Notebooks are shown with their saved outputs.
myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 4
nb_execution_mode = "off"

# Docstrings have single backticks around code.
default_role = "code"
highlight_language = "none"  # of blocks without a language
autodoc_default_options = {"members": True, "undoc-members": False, "show-inheritance": True}
autodoc_preserve_defaults = True
autodoc_member_order = "bysource"
toc_object_entries = False  # thousands of entries in the navigation of every page take a third of the time
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

html_theme = "furo"
html_title = "autoencoders"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_math_renderer = "mathml"  # drawn by the browser, without a script or a network
html_copy_source = False
html_show_sphinx = False
copybutton_prompt_text = r">>> |\.\.\. "
copybutton_prompt_is_regexp = True
