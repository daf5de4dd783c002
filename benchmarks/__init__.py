"""Speed and memory, measured beside the library that people would use for the same work.

    python -m benchmarks run      # measures what is listed in `groups`, writes benchmarks/results.json
    python -m benchmarks table    # writes the README's table, notes.md and scaling.md from it

Every entry first checks that both sides give the same result, then lets them take turns in one process.
"""
