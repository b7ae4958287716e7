"""The faces: command line and Textual app, both thin over `agent.runtime`."""
