"""POP3 (RFC 1939) and its extensions on Twisted's ``POP3``: a snapshot of INBOX under a leased maildrop."""
