"""tunesmith data convert: records of any format, written in one, and split into parts without leakage."""
