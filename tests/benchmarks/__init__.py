"""How fast attachsync is, beside other tools and beside the machine's limit: `python -m tests.benchmarks`.

It measures and never judges: nothing here asserts a time. Needs nginx; rivals that are not installed are left out.
"""
