"""The journal: what mailboxes hold, written to the object store every so often, so that a bucket alone suffices.

`segments` is the format, `stream` writes segments and then the marks, `pulling` reads the rows, `checkpoints` keeps the
journal from growing for ever, `writer` is one round of it all, `service` lets it go round.
"""
