"""Compare speed and memory with the library that is usually used for the same work.

    python -m benchmarks run      # measures the entries of `groups` and writes benchmarks/results.json
    python -m benchmarks table    # writes the README's table, docs/benchmarks.md and scaling.md from these results

Each comparison first checks that both implementations give the same result, if they should, and then measures them
alternately in one process.
"""
