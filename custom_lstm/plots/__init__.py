"""Every picture: functions that take NumPy data and return a Matplotlib figure.

They share one visual language: blue is the model, grey is what it is measured against,
vermilion with a cross is a mistake, orange and blue are the two signs of a state. The
colours come from the palette of Okabe and Ito (2008), which colour-blind readers can
tell apart, and no picture tells things apart by colour alone.

    curves          a training history, epoch by epoch
    learning_curves one quantity of several histories on one chart
    gradient_norms  how far back a loss's gradient reaches, layer by layer
    bars            how long each candidate of a benchmark takes
    predictions     sequences of digits with true and predicted totals
    positions       exact match per position between ceiling and baselines
    confusion       which digits were taken for which, by sign
    gates           every gate and state while the network saw one sequence
    states          the same of any cell on any data, as `custom_lstm.trace` gives it
    explore         a widget for notebooks, to point at its units and steps
    notable_units   the units that follow something, and those that change most
    linear_probe    the running total, read from the cell state by one linear function
    shapes          what one sample becomes, layer by layer
    showers         showers in a calorimeter, with truth and predictions
    saliency        what a network looks at in them, slice by slice
    counts          how well ones were counted, for each number of them
    followed        sequences of numbers, true and predicted step by step
    extrapolation   how totals hold at lengths that nothing was trained at
    score_table     what each cell reached on each problem, in numbers and shades
    save            writes a figure as PNG, complete or not at all

Each takes `style="light"` or `style="dark"`, after the background that it is shown on.
None needs a display, and none leaves a figure open.
"""

from custom_lstm.extras import extra

with extra("plots"):
    from custom_lstm.plots.digits import confusion, positions, predictions
    from custom_lstm.plots.inside import gates, linear_probe, readout, shapes
    from custom_lstm.plots.style import save
    from custom_lstm.plots.tasks import (
        counts,
        extrapolation,
        followed,
        saliency,
        score_table,
        showers,
    )
    from custom_lstm.plots.traces import explore, states
    from custom_lstm.plots.training import bars, curves, gradient_norms, learning_curves
    from custom_lstm.plots.units import notable_units

__all__ = [
    "bars",
    "confusion",
    "counts",
    "curves",
    "explore",
    "extrapolation",
    "followed",
    "gates",
    "gradient_norms",
    "learning_curves",
    "linear_probe",
    "notable_units",
    "positions",
    "predictions",
    "readout",
    "saliency",
    "save",
    "score_table",
    "shapes",
    "showers",
    "states",
]
