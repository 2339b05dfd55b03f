"""Every picture: functions that take NumPy data and return a Matplotlib figure.

They share one visual language: blue is the model, grey is what it is measured against,
vermilion with a cross is a mistake, orange and blue are the two signs of a state. The
colours come from the palette of Okabe and Ito (2008), which colour-blind readers can
tell apart, and no picture says anything by colour alone.

    curves          a training history, epoch by epoch
    learning_curves one quantity of several histories on one chart
    positions       exact match per position between ceiling and baselines
    predictions     sequences of digits with true and predicted totals
    showers         showers in a calorimeter, with truth and answers
    saliency        what a network looks at in them, slice by slice
    gates           what every gate and state did while it saw one sequence
    gradient_norms  how far back a loss's gradient reaches, layer by layer
    readout         the running total, read from the cell state by one linear function
    confusion       which digits were taken for which, by sign
    shapes          what one sample becomes, layer by layer
    counts          how well ones were counted, for each number of them
    followed        sequences of numbers and what was said of each step
    bars            how long each candidate of a benchmark takes beside ours
    save            writes a figure as PNG, whole or not at all

Each takes `style="light"` or `style="dark"`, after the background it will stand on.
None needs a display, and none leaves anything open behind it.
"""

from custom_lstm.plots.bars import bars
from custom_lstm.plots.comparison import gradient_norms, learning_curves
from custom_lstm.plots.confusion import confusion
from custom_lstm.plots.counts import counts
from custom_lstm.plots.following import followed
from custom_lstm.plots.history import curves
from custom_lstm.plots.readout import readout
from custom_lstm.plots.saliency import saliency
from custom_lstm.plots.scores import positions
from custom_lstm.plots.sequences import predictions
from custom_lstm.plots.shapes import shapes
from custom_lstm.plots.showers import showers
from custom_lstm.plots.states import gates
from custom_lstm.plots.style import save

__all__ = [
    "bars",
    "confusion",
    "counts",
    "curves",
    "followed",
    "gates",
    "gradient_norms",
    "learning_curves",
    "positions",
    "predictions",
    "readout",
    "saliency",
    "save",
    "shapes",
    "showers",
]
