#!/usr/bin/env python3
"""The protocol of leases, as small as it can be and still be itself, walked through in all its states.

Two workers, one limit, a leader that may be followed by another. Messages are lost, doubled (a claim stays
in the net after it was heard) and overtaken; leases expire at any moment, which stands for all clocks and
for a worker's death. What must hold in every state:

    used by the living and the dead (while it counts) + what the living may still take  <=  limit

for a budget (what is taken stays taken) and for a rate (what is taken is given back by the passing of a
window). `--without RULE` breaks a rule and must find a state that breaks the limit: tests that cannot
fail prove nothing.

    tests/model/leases.py                 # "N states, the limit holds"
    tests/model/leases.py --without sequence
"""

import argparse
import collections
import sys

from explore import put, walk

LIMIT = 2
WORKERS = (0, 1)
RULES = ("sequence", "binding", "expiry", "learning", "epoch")

# A worker: the share it may use, used, its last claim's sequence and whether it waits, the epoch it has heard.
Worker = collections.namedtuple("Worker", "share used sequence waiting epoch lease")
# The leader's record of each worker: held (at the most), sequence heard, known (has spoken in this office).
Record = collections.namedtuple("Record", "held sequence known lease")
State = collections.namedtuple("State", "workers records epoch net faults")
Claim = collections.namedtuple("Claim", "worker sequence epoch has used")
Grant = collections.namedtuple("Grant", "worker sequence epoch share")


class Model:
    def __init__(self, without=(), faults=1):
        self.without, self.faults = without, faults

    def rule(self, name):
        return name not in self.without

    def start(self):
        worker = Worker(0, 0, 0, False, 1, False)
        return State((worker, worker), (Record(0, 0, True, False),) * 2, 1, frozenset(), self.faults)

    # --- what may happen

    def steps(self, s):
        for i in WORKERS:
            yield from self.of_worker(s, i, s.workers[i])
            yield from self.of_time(s, i, s.workers[i])
        for m in s.net:
            for after in self.claim_heard(s, m) if isinstance(m, Claim) else [self.grant_heard(s, m)]:
                yield "deliver", after
            if s.faults:  # else the messages of before are lost one by one
                yield "lose", s._replace(net=s.net - {m}, faults=s.faults - 1)
        if s.faults:
            yield "new leader", self.new_leader(s)

    def of_worker(self, s, i, w):
        if w.lease and w.used < w.share:
            yield "take", self.put(s, i, w._replace(used=w.used + 1))
        if not w.waiting and w.sequence < 2 and len(s.net) < 3:
            has = max(w.share if w.lease else 0, w.used)
            claim = Claim(i, w.sequence + 1, w.epoch, has, w.used)
            yield "claim", self.put(s, i, w._replace(sequence=w.sequence + 1, waiting=True))._replace(
                net=s.net | {claim})
        if w.waiting:
            yield "give up waiting", self.put(s, i, w._replace(waiting=False))
        if w.lease and w.share > w.used and not w.waiting:
            yield "let go", self.put(s, i, w._replace(share=w.used))

    def of_time(self, s, i, w):
        if w.lease:  # the worker's comes first: it counts from when it sent the claim
            yield "lease over", self.put(s, i, w._replace(lease=False, share=0))
        r = s.records[i]
        may = not w.lease if self.rule("expiry") else True
        if r.held > w.used and may and not any(isinstance(m, Grant) and m.worker == i for m in s.net):
            yield "record over", self.record(s, i, r._replace(held=w.used, lease=False))

    # --- the leader

    def claim_heard(self, s, m):
        """What may become of it: the leader gives as much as it can, or a fair part."""
        r = s.records[m.worker]
        s = s._replace(net=s.net - {m}) if s.faults == 0 else s  # while there are faults it may come again
        if self.rule("sequence") and m.sequence <= r.sequence:
            return [s]
        if self.rule("epoch") and m.epoch != s.epoch:
            return [s._replace(net=s.net | {Grant(m.worker, m.sequence, s.epoch, None)})]
        others = sum(x.held for k, x in enumerate(s.records) if k != m.worker)
        learning = any(not x.known for k, x in enumerate(s.records) if k != m.worker)
        return [self.grant(s, m, max(0, min(share, LIMIT - others, m.has if learning and self.rule("learning") else LIMIT)))
                for share in (LIMIT, LIMIT // 2)]

    def grant(self, s, m, share):
        held = max(share, m.has) if self.rule("binding") else share
        s = self.record(s, m.worker, Record(held, m.sequence, True, True))
        return s._replace(net=s.net | {Grant(m.worker, m.sequence, s.epoch, share)})

    def new_leader(self, s):
        """Knows who was granted something, and not how much."""
        records = tuple(Record(0, 0, False, False) for _ in s.records)
        return s._replace(records=records, epoch=s.epoch + 1, faults=s.faults - 1)

    # --- the worker

    def grant_heard(self, s, m):
        w = s.workers[m.worker]
        s = s._replace(net=s.net - {m})
        if not w.waiting or (self.rule("sequence") and m.sequence != w.sequence) or m.epoch < w.epoch:
            return s
        w = w._replace(waiting=False, epoch=m.epoch)
        if m.share is not None:
            w = w._replace(share=m.share, lease=True)
        return self.put(s, m.worker, w)

    # --- helpers

    @staticmethod
    def put(s, i, w):
        return s._replace(workers=put(s.workers, i, w))

    @staticmethod
    def record(s, i, r):
        return s._replace(records=put(s.records, i, r))


def holds(s):
    return sum(max(w.used, w.share if w.lease else 0) for w in s.workers) <= LIMIT


def broken(s):
    return None if holds(s) else "more than the limit"


def explore(model, most=2_000_000):
    return walk(model.start(), model.steps, broken, most)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--without", action="append", default=[], choices=RULES)
    parser.add_argument("--faults", type=int, default=1)
    args = parser.parse_args()
    count, way, _ = explore(Model(args.without, args.faults))
    if way:
        print(f"{count} states; the limit is broken by: " + ", ".join(what for what, _ in way))
        return 1
    print(f"{count} states, the limit holds")
    return 0


if __name__ == "__main__":
    sys.exit(main())
