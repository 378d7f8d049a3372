"""Webhooks: events that are sent, for those who have no RabbitMQ."""
