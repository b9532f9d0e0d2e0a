"""Floor 4: licenses, their keys, activation codes and device seats. A seat is a row with a lease; one pure judgement says yes or no."""
