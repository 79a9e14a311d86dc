"""One third party a file, imported inside functions, each with exactly one importer."""
