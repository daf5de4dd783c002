"""Speed and memory compared with the library that is usually used for the same work.

    python -m benchmarks run      # measures the entries of `groups`, writes benchmarks/results.json
    python -m benchmarks table    # writes the README's table, docs/benchmarks.md and scaling.md from it

Every entry first checks that both sides give the same result, then measures them alternately in one process.
"""
