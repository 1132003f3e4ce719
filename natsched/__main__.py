"""`python -m natsched` is `natsched`."""

from natsched.cli.main import main

if __name__ == "__main__":
    main()
