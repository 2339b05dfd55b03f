"""What several tests share: oracles, sample cells and layers, files to read."""
