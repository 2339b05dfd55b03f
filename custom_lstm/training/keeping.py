"""How often a run is saved, and whether it must come out the same to the last bit."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Keeping:
    """How the run survives being stopped."""

    save_minutes: float = 0.5
    """Minutes between two checkpoints; a kill costs no more than that."""
    save_steps: int = 0
    """Steps between two checkpoints; 0 leaves it to --save-minutes."""
    deterministic: bool = False
    """Let TensorFlow use only operations that give the same bits every time; slower."""

    def due(self, steps: int, seconds: float) -> bool:
        """Say whether a checkpoint is due.

        Args:
            steps: done since the last one.
            seconds: gone since the last one.

        Example:

        >>> Keeping(save_steps=10).due(steps=9, seconds=20), Keeping().due(1, 30)
        (False, True)
        """
        by_steps = self.save_steps and steps >= self.save_steps
        return bool(by_steps) or (steps > 0 and seconds >= 60 * self.save_minutes)


KEEPING_RANGES: dict[str, tuple[float, float]] = {
    "save_minutes": (0, 10**9),
    "save_steps": (0, 10**9),
}
"""Least and largest value of each option."""
