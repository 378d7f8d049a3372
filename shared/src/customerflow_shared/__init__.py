"""The words that every CustomerFlow program speaks. No business rule lives here."""
