"""`python -m lightmail.cli`, where the console script is not installed."""

from lightmail.cli import main

main()
