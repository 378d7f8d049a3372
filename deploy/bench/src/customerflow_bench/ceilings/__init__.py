"""What cannot be surpassed: the driver, the server or the broker alone, each a program of its own."""
