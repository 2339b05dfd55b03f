"""The walk-through: an LSTM adds each number to the one before, step by step.

After "Step by step example of RNN", a notebook on `dynamic_rnn`, whose numbers are
those of chapter 10 of N. Shukla, "Machine Learning with TensorFlow" (2018).
"""
