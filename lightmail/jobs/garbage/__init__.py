"""Garbage collection: removes what is past its time, in small batches, and objects that nothing refers to.

A pass of the `Collector` runs one batch of each step, in the order of `collector.STEPS`:

- ``rows``: expunged messages, deleted mailboxes and accounts, keyword bits that nothing uses. What refers to an object
  goes with its row, and the object is condemned in the same transaction.
- ``orphans``: objects in the store that have no row get one, QUARANTINED.
- ``objects``: a slow look at all rows of objects, for what nothing else noticed; QUARANTINED objects past their time
  are condemned; CONDEMNED ones are deleted from the store, and then their rows.

- ``snapshots``: parts of snapshots that were replaced or went with their mailbox, and those that no row ever named.
- ``calendars``: deleted events and calendars, and the texts of events that nothing refers to.

Only objects below ``emails/`` and ``indexes/`` are ever listed, and only such and those below ``calendars/`` deleted.

Several collectors may run at once, on several machines. Each batch is found anew and checked again under locks, so
what another one did meanwhile is found done; cursors are shared through the database, and only ever say that everything
before them was looked at. So no lease is needed: a second collector costs some reading, and none waits for another.
"""
