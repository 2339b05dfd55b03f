"""Jobs besides the main one, each run by `train.py <task>`."""
