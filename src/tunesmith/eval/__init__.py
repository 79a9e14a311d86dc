"""Evaluation: loss, answers and choices of a model on files of records, beside those of other models."""
