"""What is secret stays so: in logs, events, rows at rest, answers and reprs, also when something breaks."""
