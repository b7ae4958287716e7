"""Language models behind one protocol: local, scripted, and where their weights come from."""

import os

# OpenMP's threads wait for each other after every matrix by spinning. As soon as another process wants a
# core, the spinning keeps the late thread from running: measured on two cores with one other busy
# process, decoding falls from 16 tokens/s to 0.7. With this many spins it is 8, and 13.5 undisturbed.
# It must be set before torch is loaded, which is why it stands here.
os.environ.setdefault("GOMP_SPINCOUNT", "2000")
