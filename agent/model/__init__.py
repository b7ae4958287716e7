"""Model backends and what surrounds them: weights, tokens, signals, tool calls."""
