"""Compare finished runs; runs without Keras."""
