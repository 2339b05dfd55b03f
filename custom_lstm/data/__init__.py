"""Digits, the sequences that are learned from them, and their small random warps."""

from custom_lstm.data.augment import Augment, augment_images
from custom_lstm.data.digits import DataError, Digits, Pools, load_pools
from custom_lstm.data.sequences import (
    alternating_signs,
    epoch_order,
    evaluation_sequences,
    steps_per_epoch,
    total_range,
    totals_by_cumsum,
    totals_by_scan,
    training_sequences,
)

__all__ = [
    "Augment",
    "DataError",
    "Digits",
    "Pools",
    "alternating_signs",
    "augment_images",
    "epoch_order",
    "evaluation_sequences",
    "load_pools",
    "steps_per_epoch",
    "total_range",
    "totals_by_cumsum",
    "totals_by_scan",
    "training_sequences",
]
