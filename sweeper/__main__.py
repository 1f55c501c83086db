"""`python -m sweeper` is `sae-sweep`."""

from sweeper.app import main

if __name__ == "__main__":
    main()
