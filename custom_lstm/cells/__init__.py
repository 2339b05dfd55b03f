"""Recurrent cells: one time step each."""
