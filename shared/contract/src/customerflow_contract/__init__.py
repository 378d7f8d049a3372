"""The public contract of CustomerFlow: what other systems are told of customers, as CloudEvents."""
