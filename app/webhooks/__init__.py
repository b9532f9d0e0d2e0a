"""Floor 3: what happened, told to operators who ask (the audit list) and to endpoints that want to hear of it (webhooks)."""
