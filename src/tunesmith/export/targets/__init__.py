"""What a run can become, one file each, found by its name.

A target exports `OPTIONS` (what it reads of `source.Settings`), `refusal(source)` (why this model cannot have it, or ""),
`size(out)` and `bound(out)` (bytes that will be written; how far logits may be apart), `write(out, folder)`, and
`read(task, device)`, which a clean process calls.
"""
