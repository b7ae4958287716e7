"""What the agent can do: the tool protocol and the built-in tools."""
