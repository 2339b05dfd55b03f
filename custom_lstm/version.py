"""The version, which `train.py --version` prints without importing Keras."""

__version__ = "0.1.0"
