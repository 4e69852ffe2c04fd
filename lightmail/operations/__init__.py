"""One module per thing a user or a protocol asks of the store; the only callers of store writes.

An operation is one transaction, with its quota and its hint: everything it promises holds when it returns.
"""
