"""`python -m swath`: run the program where `swath` is not on the PATH."""

from swath.cli.main import main

if __name__ == "__main__":
    main()
