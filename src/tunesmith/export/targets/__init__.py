"""What a run can become, one file each, found by its name.

A target exports `OPTIONS` (what it reads of `source.Settings`), `refusal(source)` (why this model cannot have it, or ""),
`size(out)` and `bound(out)` (bytes that will be written; how far logits may be apart), `write(out, folder)`, and
`read(task, device)`, which a clean process calls. `read_by_program(task)`, where there is one: the reading of the program
that the file is meant for, or None if it is not installed.
"""
