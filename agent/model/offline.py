"""No network from the model libraries: called before transformers or huggingface_hub is imported.

Only `agent.model.sources` talks to the hub, in a child process of its own, while a model is pulled.
"""

from __future__ import annotations

import os

_chosen_by_user = os.environ.get("HF_HUB_OFFLINE", "").strip().upper() in {"1", "ON", "YES", "TRUE"}


def go_offline() -> None:
    """Keep transformers and huggingface_hub off the network for the rest of this process."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"


def user_is_offline() -> bool:
    """Whether the user had set HF_HUB_OFFLINE before we did: then even a pull stays off the hub."""
    return _chosen_by_user
