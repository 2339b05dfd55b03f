"""The site: `pip install ".[docs]" && sphinx-build -W docs docs/_build/html`.

It is built off line, runs no code of the pages, and loads nothing from other hosts.
"""

import os
import sys
import tomllib
from pathlib import Path

import matplotlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import generate  # noqa: E402  beside this file
import mathml  # noqa: E402

PROJECT = tomllib.loads((HERE.parent / "pyproject.toml").read_text("utf-8"))["project"]
REPOSITORY = PROJECT["urls"]["Repository"]
FONTS = Path(matplotlib.get_data_path(), "fonts", "ttf")

project = PROJECT["name"]
author = copyright = "The custom_lstm authors"
release = version = PROJECT["version"]
extensions = ["myst_nb", "sphinx_copybutton", "sphinx.ext.githubpages"]
exclude_patterns = ["_build", "**/node_modules"]

myst_enable_extensions = ["colon_fence", "dollarmath", "amsmath", "deflist"]
myst_dmath_allow_digits = False
myst_heading_anchors = 3
myst_url_schemes = {
    "http": None,
    "https": None,
    "mailto": None,
    "repo": {"url": REPOSITORY + "/blob/main/{{path}}", "title": "{{path}}"},
}
nb_execution_mode = "off"
nb_render_markdown_format = "myst"
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

html_theme = "furo"
html_title = "custom_lstm"
html_static_path = ["_static", str(FONTS / "STIXGeneral.ttf")]
html_css_files = ["site.css"]
html_math_renderer = "mathml"
html_theme_options = {"footer_icons": [], "top_of_page_buttons": []}
html_show_sphinx = False


def setup(app):
    """Make the generated pages, and let equations be MathML, which needs no script."""
    mathml.setup(app)
    app.connect("builder-inited", lambda app: generate.write(HERE / "generated"))
