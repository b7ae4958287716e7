"""What `nightschool bench` runs: measurements of the product's own code."""
