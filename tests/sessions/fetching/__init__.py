"""FETCH over objects that are read as a store gives them: ahead of their commands, damaged, late or never."""
