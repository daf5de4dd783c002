"""Tools for maintainers, which run from a checkout and are not installed: releases, model cards, README tables."""
