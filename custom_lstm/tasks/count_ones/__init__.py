"""Counting ones: an LSTM reads a string of bits and says how many are 1.

After "A noob's guide to implementing RNN-LSTM using Tensorflow" (2016).
"""
