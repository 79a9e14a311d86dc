"""A finished run becomes what other programs read: an adapter, a model folder, a GGUF file."""
