"""What the contract does to a sandbox: harmless attacks, tried for real."""
