"""Training one adapter: from conversations to LoRA tensors. Imports torch; only the worker loads it."""
