"""Equations as MathML, which browsers draw by themselves, without a script."""

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.util import logging

_log = logging.getLogger(__name__)


def mathml(latex: str, display: str = "inline") -> str:
    """Return LaTeX as MathML, and warn of what the converter does not know.

    It knows `split`, and does not know `aligned`, which means the same.
    """
    made = convert(latex.replace("{aligned}", "{split}"), display=display)
    if "<mi>&</mi>" in made or "<mi>\\" in made:
        _log.warning("no MathML for %r", latex)
    return made


def _inline(writer, node):
    writer.body.append(mathml(node.astext()))
    raise nodes.SkipNode


def _display(writer, node):
    writer.body.append(f'<div class="math">{mathml(node.astext(), "block")}</div>\n')
    raise nodes.SkipNode


def setup(app):
    """Register the renderer with Sphinx."""
    app.add_html_math_renderer("mathml", (_inline, None), (_display, None))
