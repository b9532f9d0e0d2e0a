"""Background tasks of the process: start and stop, wake-up and deadlines."""
