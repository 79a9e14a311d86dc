"""A run over several processes: starting them, how they agree, and models that are shared out among them."""
