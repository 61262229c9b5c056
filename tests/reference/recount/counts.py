"""What captures add up to: a row for each day, sensor, cell and source, and the account of intervals."""

import datetime
import gc
import ipaddress
from zoneinfo import ZoneInfo

import numpy as np

from . import clock
from .packets import CLASSES, NAMES, SCAN, Capture, Darknet, Datagrams, Sources
from .rules import evaluate

# Bits of a row's key: sources below, cells above them, days and sensors above those.
SOURCE_BITS, CELL_BITS = 33, 18
# Frames that are looked at together.
PART = 1 << 20
# A constant that no packet has had yet.
NONE = (65535, 0)


def fold(values):
    """The 16 bits by which expressions are compared."""
    return ((values >> 16) ^ (values & 0xFFFF)).astype(np.uint16)


class Run:
    """One replay: captures of a sensor that are merged by time, under one list of prefixes and one set of
    rules."""

    def __init__(self, sensor, files, include, exclude, rules=None):
        self.sensor, self.darknet, self.rules = sensor, Darknet(include, exclude), rules
        self.captures = []
        for path in files:
            capture = Capture(path)
            times = capture.times()
            capture.octets = None
            self.captures.append((capture, times))
        self.captures.sort(key=lambda pair: int(pair[1][0]) if len(pair[1]) else 0)

    def assign(self, step):
        """Gives every record its interval."""
        parts = [clock.judge(times) for _, times in self.captures]
        for (capture, _), (_, kinds) in zip(self.captures, parts):
            if (kinds == clock.UNTIMED).any():
                raise ValueError(f"{capture}: records without a time are not read here")
        nothing = np.zeros(0, np.int64)
        moments = np.concatenate([part for part, _ in parts]) if parts else nothing
        kinds = np.concatenate([part for _, part in parts]) if parts else nothing
        ordered = all(
            not len(a) or not len(b) or a.max() <= b[0] for (a, _), (b, _) in zip(parts, parts[1:])
        )
        order = None
        if not ordered:
            # Files that overlap are merged by time, each in its own order.
            keys = np.concatenate([np.maximum.accumulate(part) for part, _ in parts])
            order = np.argsort(keys, kind="stable")
            moments, kinds = moments[order], kinds[order]
        own, moments, late, self.spans = clock.assign(moments, kinds, step)
        if order is not None:
            back = np.argsort(order)
            own, moments, late = own[back], moments[back], late[back]
        ends = np.cumsum([len(part) for part, _ in parts])[:-1]
        self.own, self.moments, self.late = (
            np.split(column, ends) for column in (own, moments, late)
        )


class Kept:
    """Columns by key, of which each part's are added up before the next comes."""

    def __init__(self, how):
        self.how, self.parts = how, []

    def add(self, key, columns):
        if len(key):
            self.parts.append(self.sum(key, columns))

    def sum(self, key, columns):
        order = np.argsort(key, kind="stable")
        key = key[order]
        begins = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]]))
        ends = np.append(begins[1:], len(key)) - 1
        summed = []
        for how, column in zip(self.how, columns):
            column = column[order]
            summed.append(column[ends] if how == "last" else how.reduceat(column, begins))
        return key[begins], summed

    def all(self):
        """Keys and columns of everything."""
        if not self.parts:
            return np.zeros(0, np.int64), [np.zeros(0, np.int64) for _ in self.how]
        keys = np.concatenate([key for key, _ in self.parts])
        columns = [np.concatenate(parts) for parts in zip(*(columns for _, columns in self.parts))]
        self.parts = []
        return self.sum(keys, columns)


class Counts:
    """Everything that reports are made of."""

    def __init__(self, runs, rules, step_seconds, zone, country=None, asn=None):
        self.sources = Sources()
        for run in runs:
            run.rules = run.rules or rules
        self.all_rules = [rules, *(run.rules for run in runs)]
        # Fingerprints by name and version.
        self.matching = {rule.key: rule for run in runs for rule in run.rules.matching}
        self.constant = {rule.key: rule for run in runs for rule in run.rules.constant}
        self.step, self.zone = step_seconds * 1_000_000, ZoneInfo(zone)
        self.of_interval = {}
        for run in runs:
            run.assign(self.step)
        self.find_days(runs)
        self.cells, cell_of = [], {}
        constants = 3 * len(self.constant)
        sides = [np.add, np.minimum, np.maximum] * len(self.constant)
        flows = Kept([np.add, np.minimum, np.maximum, "last", *sides])
        hits = {key: Kept([np.add, np.minimum, np.maximum]) for key in self.matching}
        for run in runs:
            for at, (capture, _) in enumerate(run.captures):
                capture.octets = Capture.load(capture.path)
                for first in range(0, len(capture.starts), PART):
                    last = min(first + PART, len(capture.starts))
                    found = Datagrams(capture, first, last, run.darknet, self.sources)
                    found.judge(run.rules)
                    self.count(run, at, found, cell_of, flows, hits)
                capture.octets = None
                gc.collect()
        self.finish(flows, hits, constants)
        self.attribute(country, asn)

    # --- Days and intervals ----------------------------------------------------------------------

    def day_of(self, start):
        """The day of the zone, as a number, that an interval begins on."""
        if start not in self.of_interval:
            moment = datetime.datetime.fromtimestamp(start // 1_000_000, self.zone)
            self.of_interval[start] = moment.date().toordinal()
        return self.of_interval[start]

    def length_ms(self, day):
        """How long a day is: 23 to 25 hours where clocks change."""
        ends = [
            datetime.datetime.combine(
                datetime.date.fromordinal(day + more), datetime.time(), self.zone
            ).timestamp()
            for more in (0, 1)
        ]
        return round((ends[1] - ends[0]) * 1000)

    def find_days(self, runs):
        """The account of every day and sensor, and their numbers in order."""
        self.accounts, self.starts = {}, {}
        for run in runs:
            self.starts.setdefault(run.sensor, set()).update(span[0] for span in run.spans)
            for start, begin, end, partial in run.spans:
                account = self.accounts.setdefault(
                    (self.day_of(start), run.sensor),
                    {"observed_ms": 0, "address_ms": 0, "intervals": set(), "partial": set(),
                     "dark": 0, "late": 0, "prefixes": set()},
                )
                observed = (end - begin) // 1000
                account["observed_ms"] += observed
                account["address_ms"] += observed * run.darknet.addresses
                account["intervals"].add(start)
                account["prefixes"].add(run.darknet.name)
                if partial:
                    account["partial"].add(start)
        self.numbered = sorted(self.accounts)
        self.number = {key: place for place, key in enumerate(self.numbered)}
        self.sensors = sorted({sensor for _, sensor in self.accounts})

    # --- Packets ---------------------------------------------------------------------------------

    def count(self, run, at, found, cell_of, flows, hits):
        record = found.record
        own, moments, late = run.own[at][record], run.moments[at][record], run.late[at][record]
        starts, places = np.unique(own, return_inverse=True)
        numbers = np.array(
            [self.number[self.day_of(start), run.sensor] for start in starts.tolist()], np.int64
        )
        dark = np.bincount(places, minlength=len(starts))
        came_late = np.bincount(places[late], minlength=len(starts))
        for number, packets, behind in zip(numbers.tolist(), dark.tolist(), came_late.tolist()):
            self.accounts[self.numbered[number]]["dark"] += packets
            self.accounts[self.numbered[number]]["late"] += behind
        wide = (found.protocol * 3 + found.cls) * 65537 + found.port + 1
        cells, cell_places = np.unique(wide, return_inverse=True)
        for cell in cells.tolist():
            if cell not in cell_of:
                cell_of[cell] = len(self.cells)
                protocol, cls = divmod(cell // 65537, 3)
                self.cells.append((protocol, cls, cell % 65537 - 1))
        if len(self.cells) >= 1 << CELL_BITS or len(self.numbered) >= 1 << 12:
            raise ValueError("there are more days or cells than a key has room for")
        cell = np.array([cell_of[cell] for cell in cells.tolist()], np.int64)[cell_places]
        key = (numbers[places] << CELL_BITS | cell) << SOURCE_BITS | found.source
        probes = found.probes()
        constants = []
        in_force = {rule.key for rule in run.rules.constant}
        for rule in self.constant.values():
            value = fold(evaluate(rule.constant, found, probes)[0])
            for none, values in [(0, 1), *((none, value) for none in NONE)]:
                column = np.full(len(key), none, np.int64)
                if rule.key in in_force:
                    column[probes] = values
                constants.append(column)
        milliseconds = moments // 1000
        ones = np.ones(len(key), np.int64)
        flows.add(key, [ones, milliseconds, milliseconds, found.source_port, *constants])
        for rule in run.rules.matching:
            value, known = evaluate(rule.when, found, probes)
            rows = probes[value & known]
            if rule.constant is None:
                constant = np.zeros(len(rows), np.uint16)
            else:
                constant = fold(evaluate(rule.constant, found, rows)[0])
            hits[rule.key].add(key[rows], [ones[rows], constant, constant])

    def finish(self, flows, hits, constants):
        key, columns = flows.all()
        self.packets, self.first_ms, self.last_ms, self.last_port = columns[:4]
        self.constants = columns[4 : 4 + constants]
        self.take_apart(self, key)
        self.hits = {}
        for fingerprint, kept in hits.items():
            key, (count, low, high) = kept.all()
            table = Rows()
            self.take_apart(table, key)
            table.hits, table.low, table.high = count, low, high
            self.hits[fingerprint] = table

    def take_apart(self, table, key):
        """Columns of a key: day, sensor, cell and source."""
        table.source = key & (1 << SOURCE_BITS) - 1
        table.cell = key >> SOURCE_BITS & (1 << CELL_BITS) - 1
        number = key >> SOURCE_BITS + CELL_BITS
        table.number = number
        days = np.array([day for day, _ in self.numbered] or [0], np.int64)
        sensors = [self.sensors.index(sensor) for _, sensor in self.numbered] or [0]
        table.day, table.sensor = days[number], np.array(sensors, np.int64)[number]
        cells = np.array(self.cells or [(0, 0, 0)], np.int64)
        table.protocol, table.cls, table.port = (cells[table.cell, place] for place in range(3))

    def attribute(self, country, asn):
        """Country and AS of every row; -1 unknown. `codes` and `systems` are what they stand for."""
        unique, back = np.unique(self.source, return_inverse=True)
        self.codes = country.values if country else []
        self.systems = asn.values if asn else []
        none = np.full(len(unique), -1, np.int64)
        self.country = (country.find(self.sources, unique) if country else none)[back]
        self.asn = (asn.find(self.sources, unique) if asn else none)[back]

    # --- Research scanners -----------------------------------------------------------------------

    def find_research(self, packets, ports, lists):
        """Marks rows of research scanners, by day and sensor.

        `lists` are (first day, last day, [(network, name)]): days as numbers or None, names maybe empty. A
        source has the name of the longest network that has one, of equal ones that of the first list.
        """
        key = self.number << SOURCE_BITS | self.source
        unique, back = np.unique(key, return_inverse=True)
        total = np.bincount(back, self.packets, len(unique)).astype(np.int64)
        probing = (self.cls == SCAN) & np.isin(self.protocol, (6, 17)) & (self.port >= 0)
        # A cell of class scan is a port of its protocol.
        pairs = np.unique(np.stack([back[probing], self.cell[probing]]), axis=1)[0] if (
            probing.any()
        ) else np.zeros(0, np.int64)
        probed = np.bincount(pairs, minlength=len(unique))
        of_source = unique & (1 << SOURCE_BITS) - 1
        days = np.array([day for day, _ in self.numbered] or [0], np.int64)[unique >> SOURCE_BITS]
        named = np.zeros(len(unique), bool)
        longest = np.full(len(unique), -1, np.int64)
        names, name_of = [], np.full(len(unique), -1, np.int64)
        for first, last, networks in lists:
            in_force = np.ones(len(unique), bool)
            if first is not None:
                in_force &= days >= first
            if last is not None:
                in_force &= days <= last
            for network, name in networks:
                inside = in_force & self.within_network(of_source, network)
                named |= inside
                if name:
                    better = inside & (longest < network.prefixlen)
                    longest[better] = network.prefixlen
                    name_of[better] = len(names)
                    names.append(name)
        is_research = named | ((total >= packets) & (probed >= ports))
        self.research = is_research[back]
        self.scanners = [
            {"day": self.numbered[int(unique[row] >> SOURCE_BITS)][0],
             "sensor": self.numbered[int(unique[row] >> SOURCE_BITS)][1],
             "source": int(of_source[row]), "packets": int(total[row]), "ports": int(probed[row]),
             "listed": bool(named[row]), "name": names[name_of[row]] if name_of[row] >= 0 else None}
            for row in np.flatnonzero(is_research).tolist()
        ]

    def within_network(self, sources, network):
        """Which sources a network holds."""
        low, high = int(network.network_address), int(network.broadcast_address)
        if network.version == 4:
            return (sources >= low) & (sources <= high)
        inside = [
            (1 << 32) + place for place, octets in enumerate(self.sources.all6)
            if low <= int.from_bytes(octets, "big") <= high
        ]
        return np.isin(sources, inside)


class Rows:
    """Columns of something."""


def protocol_name(number):
    return NAMES.get(number, str(number))


def port_text(protocol, port):
    """A port as it is printed: `23/tcp`, `8/0/icmp`."""
    name = protocol_name(protocol)
    if port < 0:
        return name
    if name in ("icmp", "icmpv6"):
        return f"{port // 256}/{port % 256}/{name}"
    return f"{port}/{name}"


def cell_text(cell):
    protocol, cls, port = cell
    return protocol_name(protocol), CLASSES[cls], None if port < 0 else port
