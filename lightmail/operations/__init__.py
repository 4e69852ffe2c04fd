"""One module per thing a user or a protocol asks of the store; the only callers of store writes.

An operation is one transaction, with its quota and its hint: everything it promises holds when it returns.

``transactions``, ``queue``, ``outcome``  who writes when, operation ids, retries, lost COMMITs, hints
``arrivals``                              new messages, of several senders in one transaction: behind append and deliver
``append`` ``deliver`` ``flags`` ``copy`` ``expunge`` ``select`` ``mailboxes`` ``accounts`` ``maildrop``
``housekeeping``                          forgetting what nobody asks for any more
``collect`` ``purge`` ``retire``          what the collector does: objects, rows past their time, keyword bits
"""
