"""The main task: add and subtract handwritten digits."""
