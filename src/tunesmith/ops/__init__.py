"""Pure tensor functions: torch only, no model, no data."""
