"""The access decision: whether this person may use this product on this device now, and the signed grant that proves it."""
