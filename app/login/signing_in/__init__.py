"""Login in one or several steps, by password, mailed code or passkey, and step-up."""
