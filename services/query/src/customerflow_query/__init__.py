"""The read side: answers from Redis, and from nothing else."""
