"""Keeps the subscriptions of other systems: their queues at the broker, and the accounts that may read them."""
