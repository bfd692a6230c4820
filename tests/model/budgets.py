#!/usr/bin/env python3
"""Leases of one budget, as small as they can be and still be themselves, walked through in all their states.

Two workers take slices of a budget, whose books PostgreSQL keeps; a leader, which another may follow, answers
their claims in handlers of their own. Claims and answers are lost (never delivered), late and overtaken, a
handler may stand still between any two of its transactions for as long as it likes, transactions wait for
each other's locks and do not see what is not committed, workers die and are followed by the next process of
their slot, leave, forget the budget, are silent for a day, the period ends. Requests take one unit, and come
to that or to nothing. What must hold in every state:

    what the provider has billed, or may for what is in flight, + what workers may still take  <=  limit
    spent  =  what was billed, but for what is in flight or in a spool: nothing is booked twice or lost
    spent + held  <=  limit, and held is what the slices hold

and from every state on, when nothing breaks any more: all is booked, nothing is held, and one request can
have all that is left (calm(): no money is stuck).

`--without RULE` breaks a rule, and must find a state in which one of these fails: tests that cannot fail
prove nothing. Which rule of which file each is stands beside RULES; a WORLD says what may happen in it.

    tests/model/budgets.py                      # every world: "N states, the budget holds"
    tests/model/budgets.py --world silence --without silent    # the shortest way to where it does not
"""

import argparse
import collections
import sys

from explore import put, walk

# rule -> the world that needs it. SQL: the newest of migrations/ that has the function.
RULES = {
    # headgate_budget_lease(), SQL
    "row": "claims",  # the period's row is locked, or two transactions give the same twice
    "sequence": "claims",  # a claim older than one that was heard of the same process is void
    "aside": "forgetting",  # a slice that its worker has forgotten is set aside, with what was used of it
    "dead": "deaths",  # a claim of a process whose successor was written down gets nothing
    "left": "leaving",  # likewise of one that has left: it stays written down (leases.c, write_down())
    # headgate_budget_release(), headgate_budget_give_back(), SQL
    "slot": "deaths",  # waits for claims of its slot that are not committed
    "theirs": "offices",  # what a living worker has forgotten is not given back
    "silent": "silence",  # what was heard since it was looked for is not given back
    # headgate_budget_book(), SQL, and ledger/ingest.c
    "once": "claims",  # an attempt is booked once
    "released": "claims",  # what is booked is held no more
    "period": "periods",  # in the period of its slice
    # dataplane/state/quota.c, quota_claim.c
    "binding": "claims",  # claim_of(), let_go(): what a worker says it has is all that it uses until it is answered
    "newest": "claims",  # quota_grants(), lease.c: only the answer to the newest claim is heard
    "told": "forgetting",  # is_idle(): a budget is forgotten when the leader knows what was used of it
    "asked": "forgetting",  # is_idle(): and has answered a claim since it was asked for any
    "expiry": "silence",  # quota_allowance(): a slice is used for a day without a word of the leader
    # dataplane/state/spool*.c
    "reserved": "deaths",  # spool_reserve(): an attempt is in the spool before its first byte is sent
    "settled": "deaths",  # spool_is_settled(): what the dead held goes back when their records are in
    # What is taken for granted, since it is a matter of time (0012):
    "prompt": "periods",  # what a worker asked for has come to PostgreSQL after three seconds, or never will; leases.c,
    # lease_budgets(), sees to that
    "booked": "silence",  # who is silent for 26 hours has no records that are not booked
}

# What may happen, and how often: claims of each process of slot 0 and 1, processes of a slot.
World = collections.namedtuple("World", "limit claims asks processes deaths leaves offices forgets silences ends "
                               "patient")  # workers wait for each answer, and requests come to what they took
QUIET = World(limit=3, claims=((2,), (2,)), asks=2, processes=(1, 1), deaths=0, leaves=0, offices=0, forgets=0,
              silences=0, ends=0, patient=False)
WORLDS = {
    "claims": QUIET._replace(claims=((2,), (1,))),
    "crowd": QUIET._replace(limit=2, asks=1),
    "deaths": QUIET._replace(limit=2, claims=((1, 1), (1,)), processes=(2, 1), deaths=1),
    "leaving": QUIET._replace(limit=1, claims=((1, 1), (0,)), asks=1, processes=(2, 1), deaths=1, leaves=1, offices=1),
    "forgetting": QUIET._replace(limit=2, claims=((3,), (0,)), forgets=1),
    "offices": QUIET._replace(limit=1, claims=((5,), (1,)), asks=1, forgets=1, offices=1, patient=True),
    "silence": QUIET._replace(limit=1, claims=((2,), (1,)), asks=1, silences=1),
    "periods": QUIET._replace(limit=1, claims=((3,), (0,)), asks=1, forgets=1, ends=1),
}

LIVES, DEAD, LEFT = "lives", "dead", "left"
# A worker's counter of the budget (quota_internal.h), and what of lease.c matters: the claim it waits for. counts:
# it has one; flights: the slice of each request; sent, told: what was in use and that nothing more was held, else -1.
Worker = collections.namedtuple("Worker", "process state sequence waits epoch counts slice share used dark flights "
                                "sent told")
Period = collections.namedtuple("Period", "spent held billed")
# A row of budget_slices. aside: started_ms below zero. Its id is even in the first period and odd in the second.
Slice = collections.namedtuple("Slice", "id slot process aside sequence granted used booked")
Claim = collections.namedtuple("Claim", "slot process sequence epoch settled leaving says slice has used need waiting")
Grant = collections.namedtuple("Grant", "slot process sequence epoch slice share")  # slice None: unknown
# A handler of the leader, between its transactions (leases.c, answer()).
Job = collections.namedtuple("Job", "stage claim ids period room")
RELEASE, RELEASING, LEASE, LEASING = "release", "releasing", "lease", "leasing"
Heard = collections.namedtuple("Heard", "process sequence released")  # by this office, of a slot (fleet.c)
Record = collections.namedtuple("Record", "slot process slice at again")  # in a spool, of one unit
May = collections.namedtuple("May", "deaths leaves offices forgets silences ends")  # still
State = collections.namedtuple("State", "workers periods slices made holders epoch heard net jobs records lost may")

PARTS = 4  # leases.c: 2 * the workers
NEW = Worker(0, LIVES, 0, 0, 1, False, 0, 0, 0, False, (), -1, -1)
UNHEARD = Heard(-1, 0, False)


def who(x, slot=None):
    """0, and its next process 0'."""
    return str(x.slot if slot is None else slot) + "'" * x.process


class Model:
    def __init__(self, world, without=()):
        self.world, self.without, self.rests = world, frozenset(without), {}

    def rule(self, name):
        return name not in self.without

    def start(self):
        w = self.world
        return State((NEW, NEW), (Period(0, 0, 0),) * 2, (), 0, frozenset(), 1, (UNHEARD,) * 2, frozenset(), (), (),
                     None, May(w.deaths, w.leaves, w.offices, w.forgets, w.silences, w.ends))

    def now(self, s):
        return self.world.ends - s.may.ends  # the period

    # --- what may happen

    def steps(self, s):
        for i, w in enumerate(s.workers):
            if w.state == LIVES:
                yield from self.of_worker(s, i, w)
                yield from self.of_requests(s, i, w)
            if w.state != LIVES and w.process + 1 < self.world.processes[i]:
                yield ("worker %s: its next process begins", who(w, i)), self.begin(s, i, w)
        for m in s.net:
            if isinstance(m, Claim):
                yield ("the leader hears claim %d of worker %s", m.sequence, who(m)), self.hear(s, m)
            else:
                yield ("worker %s hears the answer to claim %d", who(m), m.sequence), self.answered(s, m)
        for n, job in enumerate(s.jobs):
            yield from self.of_job(s, n, job)
        yield from self.of_records(s)
        yield from self.of_time(s)

    def of_worker(self, s, i, w):
        if not w.waits and w.sequence < self.world.claims[i][w.process]:
            yield from self.claims(s, i, w)
        if w.waits and not self.world.patient:
            yield ("worker %s waits no longer for the answer to claim %d", who(w, i), w.waits), self.unanswered(s, i, w)
        if s.may.forgets and w.slice and not w.waits and not w.flights and (
                (w.share == w.used == w.told) if self.rule("told") else True):
            yield ("worker %s forgets the budget", who(w, i)), self.forget(s, i, w)
        if s.may.deaths and w.process + 1 < self.world.processes[i]:
            yield ("worker %s is killed", who(w, i)), self.kill(s, i, w)
        if s.may.silences and w.slice and not w.dark:
            yield ("worker %s has heard nothing for a day", who(w, i)), self.put(s, i, w._replace(dark=True))

    def claims(self, s, i, w):
        if self.world.asks:
            yield ("worker %s claims (%d): it asks for %d", who(w, i), w.sequence + 1, self.world.asks), self.claim(
                s, i, w, self.world.asks)
        if w.counts:
            yield ("worker %s claims (%d): it lets go", who(w, i), w.sequence + 1), self.claim(s, i, w, 0)
        if s.may.leaves and not w.flights and w.process:
            yield ("worker %s claims (%d): it leaves", who(w, i), w.sequence + 1), self.leave(s, i, w)

    def of_requests(self, s, i, w):
        late = w.slice and w.slice % 2 < self.now(s)  # quota.c, is_late()
        if w.used < w.share and not w.dark:
            yield ("worker %s takes one of slice %d", who(w, i), w.slice), self.take(s, i, w)
        if late and not w.dark:
            yield ("worker %s: two seconds are over since the period ended", who(w, i)), self.put(
                s, i, w._replace(dark=True))
        for f in set(w.flights):
            yield ("worker %s: a request comes to one of slice %d", who(w, i), f), self.settle(s, i, w, f, 1)
            if not self.world.patient:
                yield ("worker %s: a request comes to nothing", who(w, i)), self.settle(s, i, w, f, 0)

    def of_records(self, s):
        if self.is_locked(s):
            return
        for n, r in enumerate(s.records):
            t = self.book(s, r)
            yield ("a record of worker %s is booked on slice %d", who(r), r.slice), t._replace(
                records=s.records[:n] + s.records[n + 1:])
            if not self.rule("once") and not r.again:  # the acknowledgement is lost
                yield ("a record of worker %s is booked on slice %d, and comes again", who(r), r.slice), t._replace(
                    records=put(s.records, n, r._replace(again=True)))

    def of_time(self, s):
        if s.may.offices:
            yield ("another leader begins",), self.office(s)
        if s.may.ends:
            yield ("the period ends",), s._replace(may=s.may._replace(ends=0))
        if s.may.silences and s.lost is None:
            for x in s.slices:
                if self.is_lost(s, x):
                    yield ("slice %d was silent for 26 hours: it is to be given back", x.id), s._replace(
                        lost=x, may=s.may._replace(silences=s.may.silences - 1))
        if s.lost and not self.is_locked(s):
            yield ("slice %d is given back", s.lost.id), self.give_back_lost(s)

    # --- the worker: dataplane/state/quota*.c and lease.c

    def claim(self, s, i, w, asks, leaving=False):
        """quota_claims(), send_claims(). What it lets go of it uses no more from here on (let_go())."""
        has = 0 if w.dark else w.share if asks else w.used
        if self.rule("binding") and not w.dark and not asks:
            w = w._replace(share=w.used)
        c = Claim(i, w.process, w.sequence + 1, w.epoch, self.is_settled(s, i, w), leaving,
                  w.counts or asks > 0, w.slice, has, w.used, min(asks, 1), asks)
        sent = w.used if has <= w.used and not asks and self.world.forgets and self.is_rested(s, w, i) else -1
        told = -1 if asks and self.rule("asked") else w.told
        w = w._replace(sequence=c.sequence, waits=c.sequence, counts=c.says, sent=sent, told=told)
        return self.put(s, i, w)._replace(net=s.net | {c})

    def is_rested(self, s, w, i):
        """It was asked for nothing in three seconds (quota_claim.c, IDLE_MS)."""
        return not (self.rule("prompt") and any(
            isinstance(c, Claim) and c.need and (c.slot, c.process) == (i, w.process)
            for c in [*s.net, *(job.claim for job in s.jobs)]))

    def is_settled(self, s, i, w):
        """spool_is_settled()."""
        return not (self.rule("settled") and any(r.slot == i and r.process < w.process for r in s.records))

    def answered(self, s, g):
        """on_reply(), quota_grants(), take_grant()."""
        w = s.workers[g.slot]
        s = s._replace(net=s.net - {g})
        if g.epoch < w.epoch:
            return self.put(s, g.slot, w._replace(waits=0))
        w = w._replace(waits=0, epoch=g.epoch, sent=-1)
        if g.slice is not None:
            w = w._replace(slice=g.slice, share=g.share, used=w.used if g.slice == w.slice else 0, dark=False,
                           told=s.workers[g.slot].sent if g.slice == w.slice else -1)
        return self.put(s, g.slot, w)

    def unanswered(self, s, i, w):
        s = self.put(s, i, w._replace(waits=0, sent=-1))
        return self.unheard(s, i) if self.rule("newest") else s

    def unheard(self, s, i):
        """Answers that nobody heeds any more."""
        return s._replace(net=frozenset(m for m in s.net if isinstance(m, Claim) or m.slot != i))

    def take(self, s, i, w):
        """quota_reserve(), spool_reserve(): the provider may bill it from here on."""
        s = self.put(s, i, w._replace(used=w.used + 1, flights=tuple(sorted(w.flights + (w.slice,)))))
        return self.bill(s, w.slice, 1)

    def settle(self, s, i, w, of, amount):
        """settle.c, quota_settle(), spool_settle()."""
        flights = list(w.flights)
        flights.remove(of)
        used = w.used - (of == w.slice and not amount)
        s = self.put(s, i, w._replace(used=used, flights=tuple(flights)))
        return self.record(s, i, w, (of,)) if amount else self.bill(s, of, -1)

    def record(self, s, i, w, slices):
        more = tuple(Record(i, w.process, of, self.now(s), False) for of in slices)
        return s._replace(records=tuple(sorted(s.records + more)))

    def kill(self, s, i, w):
        """What was in flight is closed as it was reserved (spool_recover.c)."""
        s = self.unheard(self.put(s, i, NEW._replace(process=w.process, state=DEAD), deaths=s.may.deaths - 1), i)
        return self.record(s, i, w, w.flights) if self.rule("reserved") else s

    def leave(self, s, i, w):
        """lease_leave(), quota_leave(); it does not wait for the answer."""
        s = self.claim(s, i, w, 0, leaving=True)
        left = NEW._replace(process=w.process, state=LEFT, sequence=w.sequence + 1)
        return self.put(s, i, left, leaves=s.may.leaves - 1)

    def forget(self, s, i, w):
        """quota_tend()."""
        return self.put(s, i, w._replace(counts=False, slice=0, share=0, used=0, dark=False, sent=-1, told=-1),
                        forgets=s.may.forgets - 1)

    def begin(self, s, i, w):
        return self.put(s, i, NEW._replace(process=w.process + 1))

    # --- the leader: controlplane/leases/leases.c

    def office(self, s):
        """take_office(): it knows nothing of what was heard before. What is in its handlers goes on."""
        net = frozenset(m for m in s.net if s.workers[m.slot].waits == m.sequence)
        return s._replace(epoch=s.epoch + 1, heard=(UNHEARD,) * 2, net=net,
                          may=s.may._replace(offices=s.may.offices - 1))

    def hear(self, s, c):
        """answer(), hear(), fleet_hear(): written down first."""
        h = s.heard[c.slot]
        s = s._replace(net=s.net - {c}, holders=s.holders | {(c.slot, c.process, False)})
        if c.epoch != s.epoch:
            return self.reply(s, c, None, 0)
        if (h.process, h.sequence) >= (c.process, c.sequence):
            return s
        h = Heard(c.process, c.sequence, h.released and h.process == c.process)
        s = s._replace(heard=put(s.heard, c.slot, h))
        return self.to(s, None, Job(RELEASE if c.settled and not h.released else LEASE, c, (), 0, 0))

    def reply(self, s, c, of, share):
        w = s.workers[c.slot]
        if w.state != LIVES or w.process != c.process or (w.waits != c.sequence and self.rule("newest")) or not w.waits:
            return s
        return s._replace(net=s.net | {Grant(c.slot, c.process, c.sequence, c.epoch if of is not None else s.epoch, of,
                                             share)})

    def to(self, s, n, job):
        """Handler n is there now, or (None) one more is; job None: it has ended."""
        jobs = s.jobs if n is None else s.jobs[:n] + s.jobs[n + 1:]
        return s._replace(jobs=tuple(sorted(jobs + (job,))) if job else jobs)

    def of_job(self, s, n, job):
        c = job.claim
        if job.stage == RELEASE and not self.is_slot_locked(s, c.slot, (LEASING, RELEASING)):
            yield ("worker %s: what its slot held before is looked for", who(c)), self.look_for(s, n, job)
        elif job.stage == RELEASING and not self.is_locked(s):
            yield ("worker %s: what its slot held before is given back", who(c)), self.to(
                self.released(self.give_back(s, job.ids), c), n, job._replace(stage=LEASE, ids=()))
        elif job.stage == LEASE and not (self.is_locked(s) or self.is_slot_locked(s, c.slot, (RELEASING,))):
            t = self.lease(s, n, job)
            what = "has its lock" if len(t.jobs) == len(s.jobs) else "is refused"
            yield (f"claim %d of worker %s {what}", c.sequence, who(c)), t
        elif job.stage == LEASING:
            yield ("claim %d of worker %s is committed", c.sequence, who(c)), self.commit(s, n, job)

    def released(self, s, c):
        h = s.heard[c.slot]
        if c.epoch != s.epoch or h.process != c.process:
            return s
        return s._replace(heard=put(s.heard, c.slot, h._replace(released=True)))

    # --- PostgreSQL: migrations/

    def is_locked(self, s):
        """The period's row."""
        return self.rule("row") and any(job.stage == LEASING for job in s.jobs)

    def is_slot_locked(self, s, slot, stages):
        """By pg_advisory_xact_lock(): shared by claims, alone for who gives back."""
        return self.rule("slot") and any(job.stage in stages and job.claim.slot == slot for job in s.jobs)

    def look_for(self, s, n, job):
        """headgate_budget_release(): its snapshot has nothing that is not committed."""
        c = job.claim
        ids = tuple(x.id for x in s.slices if x.slot == c.slot and (
            x.process < c.process or (x.aside and not self.rule("theirs"))))
        if ids:
            return self.to(s, n, job._replace(stage=RELEASING, ids=ids))
        return self.to(self.released(s, c), n, job._replace(stage=LEASE))

    def give_back(self, s, ids):
        """headgate_budget_give_back()."""
        for x in s.slices:
            if x.id in ids:
                s = self.book_held(s, x.id, -max(0, x.granted - x.booked))
        return s._replace(slices=tuple(x for x in s.slices if x.id not in ids))

    def is_lost(self, s, x):
        """headgate_budget_release_lost(): for a slice to be silent for 26 hours, so must have been its worker, if it
        has it still; and messages are not as old as that."""
        w = s.workers[x.slot]
        if any(m.slot == x.slot and isinstance(m, Grant) for m in s.net):
            return False
        if self.rule("booked") and (any(r.slice == x.id for r in s.records) or x.id in w.flights):
            return False
        return w.slice != x.id or w.dark or not self.rule("expiry")

    def give_back_lost(self, s):
        x = s.lost
        spoken = any(y.id == x.id and y.sequence != x.sequence for y in s.slices)
        s = s._replace(lost=None)
        return s if spoken and self.rule("silent") else self.give_back(s, (x.id,))

    def lease(self, s, n, job):
        """headgate_budget_lease(), until it has the period's row."""
        c = job.claim
        for slot, process, left in s.holders:
            if slot == c.slot and ((process > c.process and self.rule("dead")) or (
                    left and process >= c.process and self.rule("left"))):
                return self.to(self.reply(s, c, None, 0), n, None)
        room = 0
        if not self.rule("row"):  # as it sees it now, and others do at the same time
            room = self.room(s, self.now(s))
        return self.to(s, n, job._replace(stage=LEASING, period=self.now(s), room=room))

    def room(self, s, period):
        return self.world.limit - s.periods[period].spent - s.periods[period].held

    def commit(self, s, n, job):
        """headgate_budget_lease(), the rest; the names are those of there."""
        c = job.claim
        s = self.to(s, n, None)
        if c.leaving:  # write_down(): those before go, and who has left stays
            holders = {h for h in s.holders if h[0] != c.slot or h[1] > c.process}
            s = s._replace(holders=frozenset(holders | ({(c.slot, c.process, True)} if self.rule("left") else set())))
        if not c.says:
            return self.reply(s, c, None, 0)  # of this budget it says nothing
        x = next((x for x in s.slices if (x.slot, x.process, x.aside, x.id % 2) == (
            c.slot, c.process, False, job.period)), None)
        outstanding = has = used = 0
        if x is None:
            s, x = self.new_slice(s, c, job.period)
        elif x.sequence >= c.sequence and self.rule("sequence"):
            return self.reply(s, c, None, 0)
        elif c.slice != x.id and (x.used or x.booked) and self.rule("aside"):
            s, x = self.new_slice(self.set_aside(s, x), c, job.period)
        else:
            outstanding = max(0, x.granted - x.booked)
        wants = c.used + c.waiting
        if c.slice == x.id:
            has, used = max(min(c.has, x.granted), c.used), c.used
        else:
            wants = max(0, wants - c.used)
        kept = max(0, has - x.booked)
        ready = max(0, has - max(used, x.booked))
        least_more = max(0, c.need - ready)
        most_more = max(least_more, wants - max(has, x.booked))
        room = (self.room(s, job.period) if self.rule("row") else job.room) + outstanding - kept
        more = 0
        if room >= least_more:
            more = max(0, min(most_more, room, max(least_more, c.waiting - ready, room // PARTS)))
        s = self.book_held(s, x.id, more + kept - outstanding)
        share = max(has, x.booked) + more
        s = self.put_slice(s, x, x._replace(granted=share, used=used, sequence=c.sequence))
        return self.reply(s, c, x.id, share)

    def new_slice(self, s, c, period):
        x = Slice(2 * (s.made + 1) + period, c.slot, c.process, False, c.sequence, 0, 0, 0)
        return s._replace(slices=s.slices + (x,), made=s.made + 1), x

    def set_aside(self, s, x):
        kept = max(0, x.used - x.booked)
        s = self.book_held(s, x.id, kept - max(0, x.granted - x.booked))
        return self.put_slice(s, x, x._replace(granted=x.booked + kept, aside=True, sequence=0) if kept else None)

    def book(self, s, r):
        """headgate_budget_book(), of one unit."""
        period, freed = r.at, 0
        for x in s.slices:
            if x.id == r.slice:
                period = x.id % 2 if self.rule("period") else r.at
                freed = min(1, max(0, x.granted - x.booked))
                y = x._replace(booked=x.booked + 1)
                s = self.put_slice(s, x, None if x.aside and y.booked >= y.granted else y)
        if freed and self.rule("released"):
            s = self.book_held(s, r.slice if self.rule("period") else period, -freed)
        p = s.periods[period]
        return s._replace(periods=put(s.periods, period, p._replace(spent=p.spent + 1)))

    # --- small changes

    @staticmethod
    def put(s, i, w, **may):
        s = s._replace(workers=put(s.workers, i, w))
        return s._replace(may=s.may._replace(**may)) if may else s

    @staticmethod
    def put_slice(s, x, y):
        n = s.slices.index(x)
        return s._replace(slices=s.slices[:n] + ((y,) if y else ()) + s.slices[n + 1:])

    @staticmethod
    def book_held(s, of, more):
        if not more:
            return s
        p = s.periods[of % 2]
        return s._replace(periods=put(s.periods, of % 2, p._replace(held=p.held + more)))

    @staticmethod
    def bill(s, of, amount):
        p = s.periods[of % 2]
        return s._replace(periods=put(s.periods, of % 2, p._replace(billed=p.billed + amount)))

    # --- what must hold

    def broken(self, s):
        for n, p in enumerate(s.periods):
            held = sum(max(0, x.granted - x.booked) for x in s.slices if x.id % 2 == n)
            open_ = sum(r.slice % 2 == n and not r.again for r in s.records)
            may = 0
            for w in s.workers:
                open_ += sum(f % 2 == n for f in w.flights)
                if w.state == LIVES and not w.dark and w.slice % 2 == n and w.share > w.used:
                    may += w.share - w.used
            if p.billed > self.world.limit:
                return f"{p.billed} is billed, the limit is {self.world.limit}"
            if p.billed + may > self.world.limit:
                return f"{p.billed} is billed and {may} may be taken, the limit is {self.world.limit}"
            if p.spent != p.billed - open_:
                return f"{p.billed} is billed, {open_} of that is not booked, and {p.spent} is spent"
            if p.held != held:
                return f"{p.held} is held, by the slices it is {held}"
            if p.spent + p.held > self.world.limit:
                return f"{p.spent} is spent and {p.held} held, the limit is {self.world.limit}"
        return self.calm(s)

    # --- when nothing breaks any more

    def calm(self, s):
        """Why money is stuck, or None. What is on its way is lost, what is begun ends, who is dead comes back, and
        nobody asks for anything: then all can be had."""
        s = s._replace(net=frozenset(), may=s.may._replace(deaths=0, leaves=0, offices=0, forgets=0, silences=0))
        key = s
        if key in self.rests:
            return self.rests[key]
        s = self.finish(s)._replace(net=frozenset())
        for i, w in enumerate(s.workers):
            if w.state == DEAD or (w.state == LEFT and not self.has_left(s, i, w)):
                s = self.begin(s, i, w)
            elif w.state == LIVES:
                for f in w.flights:
                    s = self.settle(s, i, s.workers[i], f, 1)
                s = self.put(s, i, s.workers[i]._replace(waits=0))
        while s.records:
            s = self.book(s, s.records[0])._replace(records=s.records[1:])
        if s not in self.rests:
            self.rests[s] = self.stuck(s)
        self.rests[key] = self.rests[s]
        return self.rests[key]

    def has_left(self, s, i, w):
        """Its leaving was heard: the next process of the slot may never come."""
        return (s.heard[i].process, s.heard[i].sequence) >= (w.process, w.sequence)

    def finish(self, s):
        while s.jobs or s.lost:
            s = next(t for steps in [self.of_job(s, n, job) for n, job in enumerate(s.jobs)] +
                     [[("", self.give_back_lost(s))] if s.lost and not self.is_locked(s) else []] for _, t in steps)
        return s

    def round(self, s, i, asks):
        """A claim of worker i, and its answer."""
        s = self.claim(s, i, s.workers[i], asks)
        s = self.finish(self.hear(s, next(iter(s.net))))
        for g in s.net:
            s = self.answered(s, g)
        return self.put(s, i, s.workers[i]._replace(waits=0))

    def stuck(self, s):
        live = [i for i, w in enumerate(s.workers) if w.state == LIVES]
        for i in live * 3:  # once to hear of a new leader, once to have what was before given back, once for the rest
            s = self.round(s, i, 0)
        p = s.periods[self.now(s)]
        if p.held:
            return f"when all is at rest, {p.held} is held"
        rest = self.world.limit - p.spent
        for i in live if rest > 0 else ():
            w = self.round(s, i, rest).workers[i]
            if w.share - w.used != rest:
                return f"when all is at rest, worker {i} can have {w.share - w.used} of {rest}"
        return None


# --- telling

def tell(way, why):
    lines = []
    for n, (what, s) in enumerate(way, 1):
        books = "; ".join(f"spent {p.spent} held {p.held} billed {p.billed}" for p in s.periods if any(p))
        workers = ", ".join(f"{who(w, i)}: {w.used} of {w.share}" + (" (dark)" if w.dark else "") if w.state == LIVES
                            else f"{who(w, i)}: {w.state}" for i, w in enumerate(s.workers))
        lines.append(f"{n:3}. {what[0] % what[1:]:62} | {books or 'nothing spent or held':30} | {workers}")
    return "\n".join(["it does not hold:", *lines, f"     {why}"])


def explore(world, without=(), happened=None, most=1_000_000):
    """happened: a set, for what did."""
    model = Model(WORLDS[world], without)

    def steps(s):
        for what, t in model.steps(s):
            happened.add(what[0])
            yield what, t

    return walk(model.start(), model.steps if happened is None else steps, model.broken, most)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--world", action="append", default=[], choices=WORLDS)
    parser.add_argument("--without", action="append", default=[], choices=RULES)
    args = parser.parse_args()
    for world in args.world or [RULES[r] for r in args.without] or WORLDS:
        count, way, why = explore(world, args.without)
        print(f"{world}: {count} states, " + (tell(way, why) if way else "the budget holds"))
        if way:
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
