"""Comparing runs: one table and one chart for all runs of a task.

Nothing here needs Keras: a run is what its config.json, history.csv, times.json and
scores.json say.
"""
