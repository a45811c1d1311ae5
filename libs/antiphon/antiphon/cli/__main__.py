"""`python -m antiphon.cli`: the same as `antiphon`."""

from antiphon.cli.main import main

main()
