"""Which parameters learn. One file a method: `Config`, `apply(model, family, config)` and `save(model, folder)`."""
