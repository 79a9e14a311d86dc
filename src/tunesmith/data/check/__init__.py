"""The doctor: what is wrong with data files, and what the figures of their records are."""
