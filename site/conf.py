"""Configuration of Sphinx.  `build.py` writes the sources; the theme is in `theme/`."""

import os
import sys
from pathlib import Path

import seglib

HERE = Path(__file__).resolve().parent
STATIC = HERE.parent / "build" / "site" / "source" / "_static"  # written by `build.py`
sys.path.insert(0, str(HERE))

from prose import as_rst  # noqa: E402

project = "Semantic segmentation, from scratch"
version = release = seglib.__version__ if hasattr(seglib, "__version__") else "0.1.0"
language = "en"

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinxcontrib.bibtex",
]

# Notebooks and pages
nb_execution_mode = "off"
nb_merge_streams = True
myst_enable_extensions = ["dollarmath", "attrs_block", "colon_fence", "deflist"]
myst_heading_anchors = 3
myst_links_external_new_tab = False
suppress_warnings = ["mystnb.unknown_mime_type", "myst.header"]  # notebooks may skip heading levels

# API reference
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
napoleon_google_docstring = True
napoleon_use_rtype = False
viewcode_line_numbers = True

# Bibliography
bibtex_bibfiles = [str(HERE / "pages" / "references.bib")]
bibtex_default_style = "alpha"
bibtex_reference_style = "label"

# Appearance
html_theme = "plate"
html_theme_path = [str(HERE / "theme")]
html_title = project
exclude_patterns = ["_static"]
html_static_path = [str(STATIC)]
html_copy_source = False
html_show_sphinx = False
html_last_updated_fmt = None
html_permalinks_icon = "#"
html_domain_indices = False
highlight_language = "python"
mathjax_path = "mathjax/tex-svg-full.js"
mathjax3_config = {"options": {"enableMenu": False}}

# Pages link to the repository only if its address is known, which is the case when the site is published.
_hosted = os.environ.get("GITHUB_REPOSITORY")
html_baseurl = os.environ.get("SITE_URL", "")  # URL of the published site with a trailing slash
html_context = {
    "html_baseurl": html_baseurl,
    "repository": f"{os.environ.get('GITHUB_SERVER_URL', 'https://github.com')}/{_hosted}" if _hosted else "",
}


def setup(app) -> None:
    app.connect("autodoc-process-docstring", lambda *arguments: as_rst(arguments[-1]))
