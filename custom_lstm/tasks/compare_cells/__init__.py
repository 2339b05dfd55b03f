"""Which cell for what: every cell on the same small problems, by the same recipe."""
