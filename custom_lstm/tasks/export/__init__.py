"""The sub-command `export`."""
