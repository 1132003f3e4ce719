"""Real servers and replicas that are killed, frozen, cut off, slowed down, filled up and set to a wrong time.

`python -m tests.faults --seconds 120 --seed 7` draws a sequence of troubles, runs a few hundred jobs through it
and holds what the handlers themselves wrote down against the promises, with `natsched.testing`. `--servers 3` does so
on a cluster with three copies of everything. `python -m tests.faults.soak` looks whether anything grows.
"""
