"""`lightmail recover`: rows for an empty database, from a bucket alone.

`scratch` holds what is known meanwhile, `replay` reads the journal into it, `examine` reads objects, `placing` says
where a message goes of which the journal knows nothing, `rebuilding` writes the rows, `run` is the whole of it.
"""
