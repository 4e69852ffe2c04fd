"""IMAP4rev1 (RFC 3501) and its extensions on Twisted's ``IMAP4Server``: framing, one queue of commands, tables."""
