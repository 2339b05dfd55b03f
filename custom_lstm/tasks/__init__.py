"""What `train.py` trains: digits, and the other tasks; and the comparison of runs."""
