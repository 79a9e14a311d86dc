"""The rows that are measured on, one file a kind; each makes its records from sentences of its own and a seed.

A file exports ABOUT (what the rows are), MAX_LENGTH (what the plain recipe pads to), BATCH (rows of a batch) and
`records(count, seed)`, which returns that many distinct records in the `messages` format.
"""
