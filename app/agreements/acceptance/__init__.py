"""What an end user sees and decides: presentations, acceptance and withdrawal."""
