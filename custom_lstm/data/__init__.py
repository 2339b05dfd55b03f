"""Digits, the sequences that are learned from them, and their small random warps."""

from custom_lstm.errors import DataError
from custom_lstm.extras import extra

with extra("train"):
    from custom_lstm.data.augment import Augment, augment_images
    from custom_lstm.data.digits import Digits, Pools, load_pools
    from custom_lstm.data.images import ImageError, read_digit_images
    from custom_lstm.data.sequences import (
        alternating_signs,
        epoch_order,
        evaluation_sequences,
        index_batches,
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
    "ImageError",
    "Pools",
    "alternating_signs",
    "augment_images",
    "epoch_order",
    "evaluation_sequences",
    "index_batches",
    "load_pools",
    "read_digit_images",
    "steps_per_epoch",
    "total_range",
    "totals_by_cumsum",
    "totals_by_scan",
    "training_sequences",
]
