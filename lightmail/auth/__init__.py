"""Who is it: password hashes, verified credentials, slowing down of guesses, checkers for Twisted's cred."""
