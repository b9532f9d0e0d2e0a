"""Products, the policies that licenses are issued under, and customers."""
