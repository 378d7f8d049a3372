"""What the end-to-end tests need to watch the system from outside; imports no service."""
