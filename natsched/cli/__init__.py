"""The command line: it parses, asks the client or runs a replica, and shows what came of it."""
