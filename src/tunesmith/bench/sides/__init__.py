"""Who is measured, one file each: `train(job)` trains as told, and returns the order of its rows and its steps."""
