"""The version, which `custom-lstm --version` prints without importing Keras."""

__version__ = "0.2.0"
