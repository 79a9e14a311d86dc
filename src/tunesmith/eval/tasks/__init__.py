"""What is evaluated: one module a task, found by its file name.

A task exports `Config`, its settings, and `run(loaded, source, config, desk) -> Outcome`.
"""
