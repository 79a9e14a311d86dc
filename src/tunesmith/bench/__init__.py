"""`tunesmith bench`: tunesmith, the plain recipe and installed peers on the same rows and model, side by side."""
