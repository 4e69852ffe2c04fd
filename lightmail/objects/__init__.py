"""The blobs: object keys, self-describing compressed containers, the object store adapter and its caches."""
