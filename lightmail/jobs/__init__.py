"""Background work that no client waits for: collecting garbage, verifying, journalling, recovering.

Each job is a coroutine over `operations` and `objects`, bounded in what it takes at once, resumable from what it
wrote down (`store.progress`), and harmless when several processes run it.
"""
