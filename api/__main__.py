"""`python -m api` is `pobratym`, where the project itself is not installed: in the image."""

from api.cli.main import main

main()
