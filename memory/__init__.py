"""What is kept: the nouns of Night School (episodes, knowledge, adapters, snapshots)."""
