"""The contract of the ports, sentence by sentence, for each implementation.

One suite: what passes in memory and fails on JetStream, or the other way round, is a bug of one of them.
`test_memory_in_virtual_time.py` adds what takes too long in real time.
"""
