"""The blobs: object keys, self-describing compressed containers, the object store adapter and its caches.

``keys``, ``header``, ``container``, ``codecs``    what an object is called, and what it looks like
``backends``, ``cloud``, ``directory``             where objects are
``writing``, ``reading``, ``examining``            one object, in a thread: made, read by ranges, looked at whole
``writers``, ``writer_process``, ``datagrams`` …   processes of their own that make small ones
``blobs``, ``spool``, ``cache``                    what the reactor's thread has to do with them
"""
