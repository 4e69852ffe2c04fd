"""LMTP (RFC 2033): Postfix hands a message over once and gets an answer for each recipient."""
