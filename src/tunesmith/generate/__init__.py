"""Answers of a model: one conversation with streaming (session.py), many at once (batch.py)."""
