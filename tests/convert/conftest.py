"""What pytest shall know of this folder."""

collect_ignore = ["torch_modules.py"]  # imports torch, which must precede TensorFlow
