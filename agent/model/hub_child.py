"""The only code that reaches the Hugging Face hub. Runs in a child process, so that the offline switch of the
rest of the product stays on, a hub that hangs can be killed, and its libraries print to nobody.

`python -P -m agent.model.hub_child list REPO REVISION` prints one JSON object with the commit and the files;
`… fetch REPO COMMIT FOLDER NAME…` downloads files into the folder, going on where it was interrupted.
"""

from __future__ import annotations

import json
import sys

TIMEOUT_SECONDS = 5.0


def _list(repo: str, revision: str) -> None:
    from huggingface_hub import HfApi

    info = HfApi().model_info(repo, revision=revision, files_metadata=True, timeout=TIMEOUT_SECONDS)
    files = [
        {"name": file.rfilename, "bytes": file.size, "sha256": file.lfs.sha256 if file.lfs else None}
        for file in info.siblings or []
    ]
    print(json.dumps({"commit": info.sha, "files": files}))


def _fetch(repo: str, commit: str, folder: str, names: list[str]) -> None:
    from huggingface_hub import hf_hub_download

    for name in names:
        hf_hub_download(repo, name, revision=commit, local_dir=folder, etag_timeout=TIMEOUT_SECONDS)


if __name__ == "__main__":
    if sys.argv[1] == "list":
        _list(sys.argv[2], sys.argv[3])
    else:
        _fetch(sys.argv[2], sys.argv[3], sys.argv[4], sys.argv[5:])
