"""Generated operations on every port, played on memory and on a real server: any difference is a failure.

What the contract suite says case by case is said here by comparison, for what nobody thought of. A sequence is
drawn, played on the memory backend in virtual time, then on JetStream; after each operation the answers have to be
the same. More of them: `python -m tests.conformance 1000`.
"""
