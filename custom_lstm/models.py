"""The digits' network; see `custom_lstm.tasks.digits.model`."""

from custom_lstm.tasks.digits.model import (
    POOLINGS,
    PRECISIONS,
    RECURRENT,
    VIEWS,
    build_core,
    build_encoder,
    build_model,
    summarise,
)

__all__ = [
    "POOLINGS",
    "PRECISIONS",
    "RECURRENT",
    "VIEWS",
    "build_core",
    "build_encoder",
    "build_model",
    "summarise",
]
