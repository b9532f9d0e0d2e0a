"""Floor 3: operators. Keys for the vendor's back office and its scripts, with scopes; never an end user's credential."""
