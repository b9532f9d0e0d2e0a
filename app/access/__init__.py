"""Floor 5: the decision. May this person use this product on this device, now? It joins what four rooms know, and signs it."""
