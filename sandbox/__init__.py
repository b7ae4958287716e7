"""Running untrusted commands: protocol, backends, policy and the contract every backend passes."""
