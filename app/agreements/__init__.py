"""Floor 4: who accepted which words. Documents, frozen texts, single-use presentations, decisions and signed receipts."""
