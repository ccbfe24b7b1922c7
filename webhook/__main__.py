"""`python -m webhook` is `userquota`."""

from webhook.cli import main

main()
