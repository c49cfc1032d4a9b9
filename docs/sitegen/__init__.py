"""Generated parts of the documentation site: options from `conf/`, numbers from `experiments/`, API pages, `llms.txt`.

`conf.py` calls these functions. They return Markdown, and do not need Sphinx, except for `sitegen.sphinx_hooks`.
"""

from pathlib import Path

DOCS = Path(__file__).resolve().parent.parent
REPOSITORY = DOCS.parent
