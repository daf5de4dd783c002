"""Compare speed and memory use with the library that is commonly used for the same task.

    python -m benchmarks run      # measures the entries of `groups` and writes benchmarks/results.json
    python -m benchmarks table    # writes the README's table, docs/benchmarks.md and scaling.md from these results

Where both implementations should give the same result, this is checked first. The speed of both is measured
alternately in one process, and their peak memory in separate processes.
"""
