"""`python -m evaluation.explain`."""

from evaluation.explain.run import main

if __name__ == "__main__":
    main()
