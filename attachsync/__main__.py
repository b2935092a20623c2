"""`python -m attachsync`."""

from attachsync.cli import main

if __name__ == "__main__":
    main()
