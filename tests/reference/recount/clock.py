"""Counting rule 9: which times of a capture are believed, in which interval a record counts, and which
intervals were watched."""

import numpy as np

SECOND = 1_000_000
HOUR = 3600 * SECOND
WEEK = 7 * 24 * HOUR
TWO_MINUTES = 120 * SECOND
# The first microsecond of the year 10000.
END = 253_402_300_800 * SECOND
AHEAD = 32
# How a record's time was taken: as it is, as it is after the clock was set back, from its neighbours, or not.
OWN, SET_BACK, JUMP, UNTIMED = range(4)
# Records that are compared with the level at once.
CHUNK = 1 << 16


def stored(time):
    return 0 <= time < END


def departs(level, time):
    return not level - TWO_MINUTES <= time <= level + HOUR


def returns(level, times):
    """Whether the times behind the first one return to the level."""
    departure = abs(times[0] - level)
    for before, time in zip(times, times[1:]):
        if not stored(time) or departs(level, time):
            continue
        if not stored(before) or abs(time - before) > min(departure // 2, HOUR // 2):
            return True
    return False


def weight(level, time):
    if level is None or not departs(level, time):
        return 0
    return 1 if level < time <= level + WEEK else 7


def lightest(level, times, known):
    """The least weight of explaining times behind a believed one; `known` keeps answers by place."""
    best = 2 * len(times)
    for at, time in enumerate(times):
        if stored(time):
            best = min(best, 2 * at + weight(level, time) + behind(times[at:], known))
    return best


def behind(times, known):
    if len(times) not in known:
        known[len(times)] = lightest(times[0], times[1:], known)
    return known[len(times)]


def believed(level, times):
    """Whether the first of these times can be believed at the least weight."""
    times = times[: AHEAD + 1]
    known = {}
    if not stored(times[0]):
        return False
    taken = weight(level, times[0]) + behind(times, known)
    return taken <= 2 + lightest(level, times[1:], known)


def judge(times):
    """Where the records of one capture count, in microseconds, and how their times were taken."""
    times = np.asarray(times, np.int64)
    moments, kinds = times.copy(), np.zeros(len(times), np.int8)
    level = last = None
    at = 0
    while at < len(times):
        if level is not None:
            # Everything up to the next departure counts at its own time.
            part = times[at : at + CHUNK]
            levels = np.maximum.accumulate(np.append(level, part))
            plain = (part >= levels[:-1] - TWO_MINUTES) & (part <= levels[:-1] + HOUR)
            plain &= (part >= 0) & (part < END)
            count = len(part) if plain.all() else int(plain.argmin())
            if count:
                level, last = int(levels[count]), int(part[count - 1])
                at += count
                continue
        time, after = int(times[at]), times[at : at + 2 * AHEAD + 1].tolist()
        window = after[: AHEAD + 1]
        if level is None:
            first = next((place for place in range(min(AHEAD + 1, len(after)))
                          if believed(None, after[place:])), None)
            if first is None:
                kinds[at] = UNTIMED
            elif first == 0:
                level = last = time
            else:
                moments[at], kinds[at] = after[first], JUMP
        elif stored(time) and not returns(level, window) and believed(level, window):
            kinds[at] = SET_BACK if time < level else OWN
            level = last = time
        elif not (stored(time) and level - HOUR <= time < level):
            moments[at], kinds[at] = last, JUMP
        at += 1
    return moments, kinds


def assign(moments, kinds, step):
    """Start of each record's interval, the moment it counts at, and whether it is late (all in
    microseconds); and the watched intervals of each era as (start, from, to, partial)."""
    own, late = moments // step * step, np.zeros(len(moments), bool)
    newest = np.maximum.accumulate(moments) if len(moments) else moments
    before = np.concatenate([newest[:1], newest[:-1]])
    eras = [0]
    if not (own >= before // step * step - step).all():
        moments, before, newest = moments.copy(), before.copy(), newest.copy()
        top = None
        for at, (moment, kind) in enumerate(zip(moments.tolist(), kinds.tolist())):
            top = moment if top is None else top
            before[at] = top
            oldest = top // step * step - step
            if moment < oldest and kind == SET_BACK:
                eras.append(at)
                before[at] = top = moment
            elif moment < oldest:
                own[at] = moments[at] = oldest
                late[at] = kind != JUMP
            top = max(top, int(moments[at]))
            newest[at] = top
    spans = []
    on_time = ~late & (kinds != JUMP)
    for begin, end in zip(eras, eras[1:] + [len(moments)]):
        era = slice(begin, end)
        spans += watched(moments[era], own[era], on_time[era], before[era], newest[era], step)
    return own, moments, late, spans


def watched(moments, own, on_time, before, newest, step):
    """Intervals that have an account, with the part of each that was observed, and whether that is
    less than the interval or could be."""
    if not len(moments):
        return []
    first, last = int(moments[on_time].min()), int(newest[-1])
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
    return [(start, begin, end, partial or begin > start or end < start + step)
            for start, (begin, end, partial) in sorted(spans.items())]
