"""Webhooks: endpoints of operators, and the delivery of events to them, at least once and in order for each subject."""
