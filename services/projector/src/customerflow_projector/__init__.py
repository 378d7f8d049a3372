"""Consumes domain events and keeps the read model."""
