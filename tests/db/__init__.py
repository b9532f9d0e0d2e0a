"""The database kit by itself: the fast lane gives what the ordinary way gives, and outlives what becomes of its connections."""
