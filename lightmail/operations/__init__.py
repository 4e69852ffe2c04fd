"""One module per thing a user or a protocol asks of the store; the only callers of store writes.

An operation is one transaction, with its quota and its hint: everything it promises holds when it returns.

``transactions``, ``queue``, ``outcome``  who writes when, operation ids, retries, lost COMMITs, hints
``arrivals``                              new messages, of several senders in one transaction: behind append and deliver
``append`` ``deliver`` ``flags`` ``copy`` ``expunge`` ``select`` ``mailboxes`` ``maildrop``
``actors``                                who administers, what he may touch, what the audit log says of him
``domains`` ``accounts`` ``aliases`` ``app_passwords``  what administrators set up
``housekeeping`` ``leases`` ``progress``  forgetting what nobody asks for any more; what background jobs have in common
``deleted`` ``undelete`` ``restoring``    taking back what was expunged or deleted, by users and by operators
``quotas``                                what is said to accounts that run full
``collect`` ``purge`` ``retire``          what the collector does: objects, rows past their time, keyword bits
``epochs`` ``journal`` ``recovery``       what keeps a lost database from being lost mail
``repair``                                what `lightmail verify --repair` does
"""
