"""The task `extrapolate`: how totals hold at lengths that no run was trained at."""
