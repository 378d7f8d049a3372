"""What is measured: a module to a scenario, each with `run(bench)`."""
