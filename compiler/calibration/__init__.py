"""Calibration: samples of what a voice is fed, and the ranges of what its networks make of them."""
