"""Measures a trained network: calibration, metrics, plots, and sets beyond MNIST."""
