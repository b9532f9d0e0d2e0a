"""Floor 3: what is sold, and to whom. Products, the policies that licenses are issued under, and customers."""
