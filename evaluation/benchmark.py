"""`python -m evaluation.benchmark`: how fast answers come, beside plain `generate`."""

from evaluation.speed.benchmark import main

if __name__ == "__main__":
    main()
