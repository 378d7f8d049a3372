"""The local stack without Docker: private servers and the programs, an instance to a folder."""
