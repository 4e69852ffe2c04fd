"""The schema as numbered migrations, one directory per dialect; `lightmail.store.migrations` applies them.

Installed as the package ``lightmail.sql``; in a checkout this directory stands beside ``lightmail/``.
"""
