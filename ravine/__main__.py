"""`python -m ravine`, where the command `ravine` is not on the path."""

from ravine.cli import main

main()
