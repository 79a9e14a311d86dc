"""tunesmith download: a model of a hub comes to this machine, whole."""
