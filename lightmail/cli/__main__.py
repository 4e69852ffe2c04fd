"""`python -m lightmail.cli`, where the console script is not installed."""

from lightmail.cli import main

# The processes of `recover` import this module under another name.
if __name__ == "__main__":
    main()
