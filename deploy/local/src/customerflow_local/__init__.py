"""The local stack without Docker: private servers and the four programs, an instance to a folder."""
