"""Write, prove, run and understand recurrent cells in Keras 3."""

__version__ = "0.1.0"
