"""The rows: database drivers, transactions, migrations, and one module of constant SQL per table family.

``database``, ``mysql``, ``sqlite``  one `Database` over two drivers: write transactions, autocommit reads, deadlines
``cursor``, ``faults``, ``sqltext``  what store functions see: statements, what can go wrong, one text for both dialects
``accounts``, ``mailboxes`` …        functions ``xyz_txn(cursor, …)``; writes among them are called by operations only
``epochs``, ``collection`` …         those of background jobs; ``purging``, ``journal``, ``recovery``, ``progress`` too
``suspects``, ``mending`` …          those of `lightmail verify`: what is wrong, and putting it right
``undelete``, ``deleted``            those of taking back, for operators and for users
"""
