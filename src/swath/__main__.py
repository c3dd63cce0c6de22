"""`python -m swath`: the program, where it is not on the path."""

from swath.cli.main import main

if __name__ == "__main__":
    main()
