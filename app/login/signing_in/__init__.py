"""Login by password, mailed code or passkey, in one or several steps, and step-up."""
