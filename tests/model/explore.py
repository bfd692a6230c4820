"""All states of a model, breadth first: what its protocols have in common (leases.py, budgets.py)."""

import collections
import gc

gc.disable()  # states are many and have no circles: looking for some takes a third of the time


def walk(start, steps, broken, most):
    """steps(s) gives (what happens, the state after it), broken(s) why s may not be, or None. How many states
    there are, and the shortest way to one that may not be, as [(what, state)], and why; or None."""
    came = {start: None}
    queue = collections.deque([start])
    while queue:
        s = queue.popleft()
        for what, t in steps(s):
            if t in came:
                continue
            came[t] = (s, what)
            why = broken(t)
            if why:
                return len(came), way_to(came, t), why
            if len(came) > most:
                raise SystemExit(f"more than {most} states")
            queue.append(t)
    return len(came), None, None


def way_to(came, t):
    way = []
    while came[t]:
        s, what = came[t]
        way.append((what, t))
        t = s
    return list(reversed(way))


def put(items, i, item):
    """A tuple with its item i replaced."""
    return items[:i] + (item,) + items[i + 1:]
