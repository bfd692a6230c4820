"""The fake provider's journal: what really happened upstream, one JSON object a line.

It is the outside witness of the reconciliation: every record is write()n before the bytes it speaks
of are answered, and a thread fsyncs the file every few milliseconds, so that the journal survives
whatever happens to the gateway.
"""

import json
import os
import threading
import time


class Journal:
    """Appends records to a file; path None keeps nothing."""

    def __init__(self, path, sync_every=0.01):
        self.fd = None
        self.dirty = threading.Event()
        self.stopped = False
        if path is None:
            return
        self.fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.sync_every = sync_every
        self.thread = threading.Thread(target=self._sync, daemon=True)
        self.thread.start()

    def write(self, event, **fields):
        if self.fd is None:
            return
        record = {"event": event, "t": time.time(), **fields}
        line = json.dumps(record, separators=(",", ":"), ensure_ascii=True) + "\n"
        os.write(self.fd, line.encode())
        self.dirty.set()

    def _sync(self):
        while not self.stopped:
            self.dirty.wait()
            time.sleep(self.sync_every)
            self.dirty.clear()
            os.fsync(self.fd)

    def close(self):
        if self.fd is None:
            return
        self.stopped = True
        self.dirty.set()
        self.thread.join(1)
        os.fsync(self.fd)
        os.close(self.fd)
        self.fd = None


def read(path):
    """All complete records of a journal; a last line that is being written is left out."""
    records = []
    try:
        with open(path, "rb") as file:
            for line in file:
                if line.endswith(b"\n"):
                    records.append(json.loads(line))
    except FileNotFoundError:
        pass
    return records


def attempts(path):
    """Attempts by their id: the begin record, merged with the end record where there is one."""
    found = {}
    for record in read(path):
        if record["event"] not in ("begin", "end"):
            continue
        key = record.get("attempt_id") or "serial-%d" % record["serial"]
        merged = found.setdefault(key, {"begins": 0, "ends": 0})
        merged["begins" if record["event"] == "begin" else "ends"] += 1
        merged.update({k: v for k, v in record.items() if k not in ("event",)})
    return found
