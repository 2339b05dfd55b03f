"""What the command trains: digits, and the other tasks; and the comparison of runs."""
