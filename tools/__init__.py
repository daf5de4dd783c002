"""What maintainers run from a checkout: releases, model cards, README tables.  Never installed."""
