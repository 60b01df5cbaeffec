"""`python -m neuroglow`, the same as `neuroglow`."""

from neuroglow.cli import main

main()
