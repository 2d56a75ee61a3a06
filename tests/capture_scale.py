"""A program: a sequence of many tokens through a small hybrid model, without and with capture; prints the peaks of memory as JSON."""

from __future__ import annotations

import json
import resource
import sys
import time

import torch
from capture_models import build, tokens

import spectral_kernels as sk


def peak():
    """MiB that this process has held at most so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(length):
    model = build("NemotronH", num_attention_heads=2, num_key_value_heads=1, head_dim=16, chunk_size=128)
    with torch.no_grad():
        with sk.capture(model, verify="never"):  # what is loaded at the first use
            model(tokens(1, 256), use_cache=False)
        x, start = tokens(1, length), peak()
        began = time.process_time()
        expected = model(x, use_cache=False).logits
        without, seconds = peak(), time.process_time() - began
        began = time.process_time()
        with sk.capture(model, buckets=(0, length // 2)) as run:
            logits = model(x, use_cache=False).logits
        captured = time.process_time() - began
    found = {"same": torch.equal(logits, expected), "model": without - start, "growth": peak() - without, "seconds": [seconds, captured]}
    found["records"] = {name: [r.positions, r.error] for name, r in run.records.items()}
    found["counts"] = {name: s.count.tolist() for name, s in run.spectra.items()}
    print(json.dumps(found))


if __name__ == "__main__":
    main(int(sys.argv[1]))
