"""Records in, tensors out. Knows no model, no transformers and no training."""
