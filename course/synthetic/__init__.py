"""Synthetic data sets: images with exact masks, generated from a seed, nothing to download."""
