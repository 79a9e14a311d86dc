"""Adapters as things of their own: listed, compared, merged, moved to another base. The source is never touched."""
