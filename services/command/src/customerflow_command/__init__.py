"""The write side: decides commands, keeps the events, and relays them."""
