"""Trained models for other runtimes: written, and run beside the model."""

from custom_lstm.exporting.exports import Exported, export

__all__ = ["Exported", "export"]
