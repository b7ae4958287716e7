"""The mind: settings, events, model backends, the waking loop and one façade, `agent.runtime`."""
