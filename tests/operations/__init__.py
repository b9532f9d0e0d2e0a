"""What operators see of a running service: figures, traces, dashboards and alerts."""
