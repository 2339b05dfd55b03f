"""Showers in a calorimeter: what hit it, how hard and where, from 40 slices."""
