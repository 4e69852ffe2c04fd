"""FETCH as plan (what is needed), prefetch (read it in few hand-offs) and render (write it out in bounded chunks)."""
