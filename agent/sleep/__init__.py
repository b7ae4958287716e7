"""The night: what was lived by day becomes weights, behind an exam."""
