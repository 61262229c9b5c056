"""Counting rule 9: in which interval a record counts, and which intervals were watched.

A replay keeps two intervals open, that of the newest time and the one before. Intervals passed over
within an hour were watched, those of a longer gap were not.
"""

import numpy as np

HOUR = 3_600_000_000


def assign(times, step):
    """Start of each record's interval, the moment it counts at, and whether it is late (all in
    microseconds); and the watched intervals as {start: (from, to, partial)}."""
    newest = np.maximum.accumulate(times)
    before = np.concatenate([times[:1], newest[:-1]])
    follows = np.concatenate([times[1:], [np.iinfo(np.int64).min // 2]])
    jumps = times - before > HOUR
    own = times // step * step
    late = np.zeros(len(times), bool)
    plain = (own >= before // step * step - step).all() and (follows[jumps] + HOUR >= times[jumps]).all()
    moments = times
    if not plain:
        own, moments, late, newest = one_by_one(times, step)
        before = np.concatenate([newest[:1], newest[:-1]])
    return own, moments, late, watched(times, own, moments, late, before, newest, step)


def one_by_one(times, step):
    own, moments = np.empty_like(times), np.empty_like(times)
    late, newests = np.zeros(len(times), bool), np.empty_like(times)
    newest = None
    all_times = times.tolist()
    for at, time in enumerate(all_times):
        if newest is None:
            newest = time
        elif time - newest > HOUR and not (
            at + 1 < len(all_times) and all_times[at + 1] + HOUR >= time
        ):
            # The next record does not agree: it counts in the newest open interval.
            own[at], moments[at], newests[at] = newest // step * step, newest, newest
            continue
        oldest = newest // step * step - step
        if time < oldest:
            own[at], moments[at], late[at], newests[at] = oldest, oldest, True, newest
            continue
        newest = max(newest, time)
        own[at], moments[at], newests[at] = time // step * step, time, newest
    return own, moments, late, newests


def watched(times, own, moments, late, before, newest, step):
    """Intervals that have an account, with the part of each that was observed, and whether that is
    less than the interval or could be."""
    if not len(times):
        return {}
    on_time = (moments == times) & ~late
    first = int(times[on_time].min())
    last = int(newest[-1])
    begin = int(own[0])
    spans = {}
    for start in np.unique(own).tolist():
        spans[start] = [max(first, start), max(min(last, start + step), start), start <= begin]
    # Where time went on to a later interval.
    for at in np.flatnonzero((before // step) < (newest // step)).tolist():
        old, new = int(before[at]) // step * step, int(newest[at]) // step * step
        if newest[at] - before[at] <= HOUR:
            for start in range(old + step, new, step):
                spans[start] = [start, start + step, False]
        else:
            # The last record before a longer gap and the first one after it are what is known.
            spans[old][1] = max(int(before[at]), old)
            spans[new][0] = int(newest[at])
    spans[last // step * step][2] = True
    return {start: (begin, end, partial or begin > start or end < start + step)
            for start, (begin, end, partial) in spans.items()}
