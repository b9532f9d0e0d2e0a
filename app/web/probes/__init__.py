"""What monitoring reads: health checks and metrics."""
