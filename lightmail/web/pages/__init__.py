"""The admin web: pages made here from templates, on the operations and permissions that the API has.

No page needs JavaScript. A page is a row (`views`), found in `table`; `application` says who may see it, checks forms,
and sets the headers that keep browsers from running or loading anything of another's.
"""
