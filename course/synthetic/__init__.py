"""Synthetic data sets: images with exact masks that are generated from a seed and need no download."""
