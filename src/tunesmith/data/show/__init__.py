"""The microscope: what the model sees of a record, token by token, and what it learns from it."""
