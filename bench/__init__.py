"""Loads IMAP, POP3 and LMTP servers side by side and checks what they answer.

``python -m bench compare`` starts Dovecot and LightMail (embedded, and on MariaDB with S3) on loopback and measures
them in turn; ``python -m bench load --target …`` measures servers that run already. Server CPU is read from the
kernel's accounts of the processes named, so a shared machine's clock does not decide the result.
"""
