"""How a mail client finds its servers by itself, from an address: Thunderbird's autoconfig, Outlook's autodiscover, and
Apple's configuration profiles.

Public, and the same for every address of a domain: whether an account exists is not told. `servers` says what is told,
one module for each form of it, `pages` serves them.
"""
