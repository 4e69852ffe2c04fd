"""The rows: database drivers, transactions, migrations, and one module of constant SQL per table family.

``database``, ``mysql``, ``sqlite``  one `Database` over two drivers: write transactions, autocommit reads, deadlines
``cursor``, ``faults``, ``sqltext``  what store functions see: statements, what can go wrong, one text for both dialects
``accounts``, ``mailboxes`` …        functions ``xyz_txn(cursor, …)``; writes among them are called by operations only
"""
