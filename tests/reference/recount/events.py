"""What is usual for a series, and the events that leave its band."""

import math

BASELINE, LEAST, REACH = 28, 14, 56
GAP, LASTING = 3, 28


def median(values):
    values = sorted(values)
    if not values:
        return 0.0
    middle = len(values) // 2
    if len(values) % 2:
        return float(values[middle])
    return (values[middle - 1] + values[middle]) / 2


def before(days, usual, at):
    """Positions of the last usual days before a day."""
    found = []
    for place in range(at - 1, -1, -1):
        if days[at] - days[place] > REACH or len(found) == BASELINE:
            break
        if usual[place]:
            found.append(place)
    return found


class Event:
    """Days outside the band, on one side."""

    def __init__(self, direction, baseline):
        self.direction, self.baseline = direction, baseline
        self.days, self.figures = [], []

    def add(self, at, value, usual, band):
        self.days.append(at)
        self.figures.append((value, usual, band))

    def peak(self):
        """Which of its days is furthest out: the first of equal ones."""
        values = [figures[0] for figures in self.figures]
        best = max(values) if self.direction == "rise" else min(values)
        return values.index(best)


def judge(days, values):
    """Events of a series, and positions of days that cannot be judged.

    `days` are numbers of complete days in order.
    """
    usual = [True] * len(days)
    events, unjudged, last = [], [], {"rise": None, "fall": None}
    for at, value in enumerate(values):
        baseline = before(days, usual, at)
        if len(baseline) < LEAST:
            unjudged.append(at)
            continue
        known = [values[place] for place in baseline]
        middle = median(known)
        spread = 1.4826 * median([abs(one - middle) for one in known])
        upper = middle + 6 * max(spread, 0.1 * middle, math.sqrt(middle), 10)
        lower = middle - 6 * max(spread, 0.05 * middle, math.sqrt(middle), 10)
        if value > upper:
            direction, band = "rise", upper
        elif middle >= 500 and lower > 0 and value < lower:
            direction, band = "fall", lower
        else:
            continue
        usual[at] = False
        event = last[direction]
        if event is None or at - event.days[-1] - 1 > GAP:
            event = Event(direction, baseline)
            events.append(event)
            last[direction] = event
        event.add(at, value, middle, band)
        if at - event.days[0] + 1 >= LASTING:
            for day in event.days:
                usual[day] = True
            last[direction] = None
    return events, unjudged


def first_of_rule(days, values, begin, least=5):
    """Position of the first day from `begin` on with so many sources if the days before had fewer,
    and their median."""
    for at, value in enumerate(values):
        if days[at] >= begin and value >= least:
            quiet = before(days, [True] * len(days), at)
            known = [values[place] for place in quiet]
            if len(known) >= LEAST and all(one < least for one in known):
                return at, median(known)
            return None
    return None
