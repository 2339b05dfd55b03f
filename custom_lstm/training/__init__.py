"""The engine of every task: run folder, checkpoints, callbacks, loops, devices."""
