"""Maintainer tools for releases, model cards and README tables. They run in a checkout and are not installed."""
