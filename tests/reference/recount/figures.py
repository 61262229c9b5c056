"""The tables of a report, from counts.

A table is a dictionary as in `report.json`; whole numbers are `int`, quotients `float`, what is not
there `None`.
"""

import datetime

import numpy as np

from . import events
from .counts import SOURCE_BITS, port_text, protocol_name
from .packets import BACKSCATTER, SCAN
from .rules import superseded_by

POPULATIONS = ("all", "without-research")
SOURCE_MASK = (1 << SOURCE_BITS) - 1
HOUR_MS = 3_600_000
# Sums by keys of so small a range are added up in place.
DENSE = 1 << 25


def text_of(day):
    return datetime.date.fromordinal(day).isoformat()


def number_of(text):
    return datetime.date.fromisoformat(text).toordinal()


def quotient(above, below):
    return None if below is None or not below or above is None else above / below


def share(part, whole):
    return None if not whole else 100 * part / whole


def different(values):
    """Values without repetitions, in order. Sorting them is faster than `np.unique`'s hashing."""
    values = np.sort(values)
    return values[np.concatenate([[True], values[1:] != values[:-1]])] if len(values) else values


class Port:
    """A destination port, or the source port of answers."""

    def __init__(self, protocol, number):
        self.protocol, self.number = int(protocol), int(number)
        self.key = self.protocol << 17 | self.number
        self.order = (protocol_name(self.protocol), self.number)
        self.text = port_text(self.protocol, self.number)
        self.slug = self.text.replace("/", "-")

    def __eq__(self, other):
        return self.key == other.key

    def __hash__(self):
        return self.key

    @classmethod
    def parse(cls, text):
        *numbers, name = text.split("/")
        protocol = {"icmp": 1, "tcp": 6, "udp": 17, "icmpv6": 58}[name]
        if len(numbers) == 2:
            return cls(protocol, int(numbers[0]) * 256 + int(numbers[1]))
        return cls(protocol, int(numbers[0]))


def parse_peak(text):
    """`2016-09-20=23,2323/tcp`: a number without a protocol has that of the next that names it."""
    date, names = text.split("=")
    ports, protocol = [], ""
    for name in reversed(names.split(",")):
        if "/" in name:
            protocol = name.rsplit("/", 1)[1]
        else:
            name = f"{name}/{protocol}"
        ports.insert(0, Port.parse(name))
    return number_of(date), list(dict.fromkeys(ports))


class Figures:
    """All sections of a report over counts.

    `about` has names and days of the period and of its comparison, `chosen` what was asked for on the
    command line (lists, empty where nothing was).
    """

    def __init__(self, counts, about, chosen, styles):
        self.counts, self.chosen, self.styles = counts, chosen, styles
        self.about = about
        self.period = tuple(about["period"][end] for end in ("from", "to"))
        self.compare = tuple(about["compare"][end] for end in ("from", "to"))
        self.names = about["period"]["name"], about["compare"]["name"]
        self.days = list(range(self.period[0], self.period[1] + 1))
        self.sensors = self.choose_sensors()
        self.take_rows()
        self.sections, self.notes, self.orders = {}, {}, {}
        self.complete_days()
        self.series()
        self.make()

    def choose_sensors(self):
        """Those asked for; else those that were there in the period, else in the year around it."""
        def within(more):
            begin, end = self.period[0] - more, self.period[1] + more
            return {sensor for day, sensor in self.counts.accounts if begin <= day <= end}

        self.around = within(365)
        return sorted(set(self.chosen["sensor"]) or within(0) or self.around)

    # --- Rows of the chosen sensors ----------------------------------------------------------------

    def take_rows(self):
        counts = self.counts
        keep = np.isin(counts.sensor, [
            place for place, sensor in enumerate(counts.sensors) if sensor in self.sensors
        ])
        keep &= counts.day <= max(self.period[1], self.compare[1])
        take = lambda column: column if keep.all() else column[keep]
        for name in ("day", "sensor", "source", "cell", "protocol", "cls", "port", "packets", "first_ms",
                     "last_ms", "last_port", "country", "asn", "research"):
            setattr(self, name, take(getattr(counts, name)))
        self.constants = [take(column) for column in counts.constants]
        # Countries as places in `codes`, whose last is `??`; without a file: also `??`, but never attributed.
        self.codes = list(counts.codes) + ["??"]
        self.unknown = len(counts.codes)
        self.country = np.where(self.country < 0, self.unknown, self.country)
        self.key = self.protocol << 17 | self.port
        self.destination = (self.cls != BACKSCATTER) & (self.port >= 0)
        self.accounts = {
            key: account for key, account in counts.accounts.items() if key[1] in self.sensors
        }

    def within(self, begin, end):
        """Rows of a range of days, which stand together."""
        low, high = np.searchsorted(self.day, [begin, end + 1])
        return slice(int(low), int(high))

    def counted(self, rows, population):
        """Which rows of a slice a population has."""
        if population == "all":
            return np.ones(rows.stop - rows.start, bool)
        return ~self.research[rows]

    def sums(self, keys, weights):
        """Sums by key, as a dictionary."""
        if not len(keys):
            return {}
        least = int(keys.min())
        if int(keys.max()) - least < DENSE:
            total = np.bincount(keys - least, weights).astype(np.int64)
            unique = np.flatnonzero(total)
            return dict(zip((unique + least).tolist(), total[unique].tolist()))
        unique, back = np.unique(keys, return_inverse=True)
        total = np.bincount(back, weights, len(unique)).astype(np.int64)
        return dict(zip(unique.tolist(), total.tolist()))

    @staticmethod
    def distinct(groups, sources):
        """Distinct sources by group, as a dictionary."""
        groups, numbers = np.unique(
            different(groups << SOURCE_BITS | sources) >> SOURCE_BITS, return_counts=True
        )
        return dict(zip(groups.tolist(), numbers.tolist()))

    # --- Completeness --------------------------------------------------------------------------------

    def length(self, day):
        if day not in self.lengths:
            self.lengths[day] = self.counts.length_ms(day)
        return self.lengths[day]

    def complete_days(self):
        self.lengths = {}
        self.first_day = min((day for day, _ in self.accounts), default=self.period[0])
        self.baseline_from = max(self.period[0] - events.REACH, min(self.first_day, self.period[0]))
        self.incomplete = [text_of(day) for day in self.days if not self.is_whole(day)]
        self.comparable = [
            day for day in range(self.baseline_from, self.period[1] + 1)
            if self.sensors and self.observed(day) >= 0.9 * self.length(day) * len(self.sensors)
        ]

    def observed(self, day):
        accounts = (self.accounts.get((day, sensor)) for sensor in self.sensors)
        return sum(account["observed_ms"] for account in accounts if account)

    def is_whole(self, day, sensor=None):
        if sensor is None:
            return bool(self.sensors) and all(self.is_whole(day, one) for one in self.sensors)
        account = self.accounts.get((day, sensor))
        return bool(account) and not account["partial"] and (
            account["observed_ms"] >= 0.999 * self.length(day)
        )

    # --- Series ----------------------------------------------------------------------------------------

    def series(self):
        """Figures of every day from the baseline's first on."""
        self.total = {population: {} for population in POPULATIONS}
        self.kinds = {population: {} for population in POPULATIONS}
        self.tcp = {population: {} for population in POPULATIONS}
        for day in range(self.baseline_from, self.period[1] + 1):
            rows = self.within(day, day)
            protocol, packets = self.protocol[rows], self.packets[rows]
            for population in POPULATIONS:
                kept = self.counted(rows, population)
                of = lambda *wanted: int(packets[kept & np.isin(protocol, wanted)].sum())
                total = int(packets[kept].sum())
                tcp, udp, icmp = of(6), of(17), of(1, 58)
                self.kinds[population][day] = [tcp, udp, icmp, total - tcp - udp - icmp, total]
                self.total[population][day] = total
                sources = self.source[rows][kept & (protocol == 6)]
                self.tcp[population][day] = len(different(sources))
        self.port_days = {
            population: self.packets_of_ports(self.baseline_from, self.period[1], population)
            for population in POPULATIONS
        }

    def packets_of_ports(self, begin, end, population):
        """Packets by day and destination port: {day: {key: packets}}."""
        rows = self.within(begin, end)
        kept = self.counted(rows, population) & self.destination[rows]
        cells = self.counts.cells
        both = (self.day[rows][kept] - begin) * len(cells) + self.cell[rows][kept]
        found = {}
        for one, packets in self.sums(both, self.packets[rows][kept]).items():
            protocol, _, number = cells[one % len(cells)]
            of_day = found.setdefault(begin + one // len(cells), {})
            key = protocol << 17 | number
            of_day[key] = of_day.get(key, 0) + packets
        return found

    def port_of(self, key):
        return Port(key >> 17, key & 0x1FFFF)

    def ranked(self, begin, end, population, sensor=None):
        """Destination ports by packets: (port, packets), the first first."""
        asked = begin, end, population, sensor
        if asked not in self.orders:
            self.orders[asked] = self.order(*asked)
        return self.orders[asked]

    def order(self, begin, end, population, sensor):
        rows = self.within(begin, end)
        kept = self.counted(rows, population) & self.destination[rows]
        if sensor is not None:
            kept &= self.sensor[rows] == sensor
        found = self.sums(self.key[rows][kept], self.packets[rows][kept])
        ports = [(self.port_of(key), packets) for key, packets in found.items() if packets]
        return sorted(ports, key=lambda one: (-one[1], one[0].order))

    def ranked_countries(self, begin, end, population, port=None):
        rows = self.within(begin, end)
        kept = self.counted(rows, population) & (self.country[rows] != self.unknown)
        if port is not None:
            kept &= self.destination[rows] & (self.key[rows] == port.key)
        found = self.sums(self.country[rows][kept], self.packets[rows][kept])
        ranked = [(self.codes[place], packets) for place, packets in found.items() if packets]
        return sorted(ranked, key=lambda one: (-one[1], one[0]))

    def sources_of_ports(self, ports, begin, end, population):
        """Distinct sources by day and port: {day: {key: sources}}."""
        found, keys = {}, [port.key for port in ports]
        for day in range(begin, end + 1):
            rows = self.within(day, day)
            kept = self.counted(rows, population) & self.destination[rows]
            kept &= np.isin(self.key[rows], keys)
            found[day] = self.distinct(self.key[rows][kept], self.source[rows][kept])
        return found

    # --- Tables ------------------------------------------------------------------------------------------

    def table(self, kind, columns, rows, population="all", subject="", args=None, plotted=False):
        name = kind + (f"-{subject}" if subject else "")
        if population != "all":
            name += "-without-research"
        by_day = any(column[:2] == ("date", "date") for column in columns)
        section = kind.split("-")[0]
        notes = []
        # A table of one day says so of that day only.
        about = [day for day in self.incomplete if day == (args or {}).get("date", day)]
        if not by_day and about and section != "c1":
            notes.append(("incomplete-days", True, {"days": len(about)}))
        self.sections[section].append({
            "id": name, "kind": kind, "population": population, "args": args or {},
            "columns": [(*column, None)[:3] for column in columns], "rows": rows, "notes": notes,
            # Days that plots mark as incomplete; None: it has no plot.
            "marked": (self.incomplete if by_day and section != "c1" else []) if plotted else None,
        })

    def note(self, section, name, warning=False, **args):
        self.notes[section].append((name, warning, args))

    def make(self):
        nicter = [f"n{number}" for number in range(1, 10)] if "nicter" in self.styles else []
        tsubame = [f"t{number}" for number in range(1, 9)] if "tsubame" in self.styles else []
        for section in ["c1", *nicter, *tsubame, "c2"]:
            self.sections[section], self.notes[section] = [], []
        self.c1()
        self.confirm()
        self.find_events()
        for section in nicter + tsubame:
            getattr(self, section)()
        self.c2()
        if not sum(self.total["all"][day] for day in self.days):
            for section in nicter + tsubame:
                self.note(section, "no-data", True)

    def c1(self):
        rows, counts = [], self.counts
        step_ms = counts.step // 1000
        nothing = {"observed_ms": 0, "address_ms": 0, "intervals": (), "partial": (), "dark": 0,
                   "late": 0, "prefixes": ()}
        known = {sensor for day, sensor in self.accounts if day in range(*self.span())}
        for day in self.days:
            for sensor in self.sensors:
                account = self.accounts.get((day, sensor), nothing)
                length, intervals = self.length(day), len(account["intervals"])
                missing = max(length // step_ms - intervals, 0) if sensor in known else None
                partial = len(account["partial"])
                rows.append([
                    text_of(day), sensor, share(account["observed_ms"], length), intervals, missing,
                    partial, 0, partial, account["dark"], account["dark"], 0, 0, 0, 0, 0,
                    account["late"], quotient(account["address_ms"], account["observed_ms"]),
                    account["address_ms"] / HOUR_MS,
                ])
        names = ["intervals", "missing", "incomplete", "degraded", "partial", "dark", "counted",
                 "lost_unserved", "lost_rx_dropped", "lost_rx_ring_full", "lost_unexplained",
                 "overflow", "late"]
        self.table("c1-days", [
            ("date", "date"), ("sensor", "text"), ("observed", "share"),
            *[(name, "count") for name in names], ("addresses", "number"), ("address_hours", "number"),
        ], rows)
        rows = []
        whole = sum(self.length(day) for day in self.days)
        for sensor in self.sensors:
            accounts = [self.accounts[day, sensor] for day in self.days if (day, sensor) in self.accounts]
            total = {name: sum(account[name] for account in accounts)
                     for name in ("observed_ms", "address_ms", "dark")}
            observed = total["observed_ms"]
            rows.append([
                sensor, share(observed, whole), observed / HOUR_MS, max(whole - observed, 0) / HOUR_MS,
                sum(not self.is_whole(day, sensor) for day in self.days), 0, total["dark"],
                total["dark"], 0, quotient(total["address_ms"], observed),
                total["address_ms"] / HOUR_MS,
                len(set().union(*(account["prefixes"] for account in accounts))),
            ])
        self.table("c1-sensors", [
            ("sensor", "text"), ("observed", "share"), ("observed_hours", "number"),
            ("missing_hours", "number"), ("days_incomplete", "count"), ("days_degraded", "count"),
            ("dark", "count"), ("counted", "count"), ("lost", "count"), ("addresses", "number"),
            ("address_hours", "number"), ("prefix_lists", "count"),
        ], rows, plotted=True)
        if not known:
            self.note("c1", "no-ledger", True)
        expected = set(self.chosen["sensor"]) or self.around
        for sensor in sorted(expected - known):
            self.note("c1", "sensor-missing", True, sensor=sensor, days=len(self.days))
        self.outages()

    def span(self):
        return self.period[0], self.period[1] + 1

    def outages(self):
        """Runs of missing intervals of an hour or more within the period, the 20 longest."""
        step = self.counts.step
        begin, end = (
            int(datetime.datetime.combine(datetime.date.fromordinal(day), datetime.time(),
                                          self.counts.zone).timestamp()) * 1_000_000
            for day in self.span()
        )
        found = []
        for sensor in self.sensors:
            starts = [start for start in sorted(self.counts.starts.get(sensor, ()))
                      if begin <= start < end]
            reached = begin
            for start in [*starts, end]:
                if start - reached >= 3_600_000_000:
                    found.append((reached - start, reached, sensor, start))
                reached = start + step
        for _, low, sensor, high in sorted(found)[:20]:
            times = {name: f"{datetime.datetime.fromtimestamp(at // 1_000_000, datetime.UTC):%Y-%m-%dT%H:%M:%SZ}"
                     for name, at in (("from", low), ("to", high))}
            self.note("c1", "outage", True, sensor=sensor, **times)

    def n1(self):
        name, before = self.names
        if len(name) == 4:
            first = datetime.date.fromordinal(self.first_day).year
            year = int(name)
            periods = [
                (f"{one:04}", datetime.date(one, 1, 1).toordinal(), datetime.date(one, 12, 31).toordinal())
                for one in range(min(first, year), year)
            ]
        else:
            periods = [(before, *self.compare)]
        periods.append((name, *self.period))
        for population in POPULATIONS:
            rows = []
            for title, begin, end in periods:
                part = self.within(begin, end)
                packets = int(self.packets[part][self.counted(part, population)].sum())
                sensors, addresses = 0, 0
                observed_all = address_all = 0
                for sensor in self.sensors:
                    accounts = [account for (day, of), account in self.accounts.items()
                                if of == sensor and begin <= day <= end]
                    sensors += bool(accounts)
                    observed = sum(account["observed_ms"] for account in accounts)
                    address_ms = sum(account["address_ms"] for account in accounts)
                    # To a millionth, so that sensors add up alike in any order.
                    addresses += round(address_ms / observed, 6) if observed else 0
                    observed_all += observed
                    address_all += address_ms
                length = sum(self.length(day) for day in range(begin, end + 1))
                rows.append([
                    title, packets, addresses if observed_all else None,
                    quotient(packets, addresses), address_all / HOUR_MS, observed_all / HOUR_MS,
                    share(observed_all, sensors * length),
                ])
            self.table("n1-years", [
                ("period", "text"), ("packets", "count"), ("addresses", "number"),
                ("packets_per_address", "number"), ("address_hours", "number"),
                ("observed_hours", "number"), ("complete", "share"),
            ], rows, population, plotted=True)

    def n2(self):
        for population in POPULATIONS:
            rows = [[text_of(day), *self.kinds[population][day]] for day in self.days]
            names = ("tcp", "udp", "icmp", "other", "total")
            self.table("n2-days", [("date", "date"), *[(name, "count") for name in names]], rows,
                       population, plotted=True)

    def n3(self):
        for population in POPULATIONS:
            rows = [[text_of(day), self.tcp[population][day]] for day in self.days]
            self.table("n3-days", [("date", "date"), ("sources", "count")], rows, population,
                       plotted=True)

    def rows_of_ports(self, ranked, whole):
        return [[rank, port.text, packets, share(packets, whole)]
                for rank, (port, packets) in enumerate(ranked, 1)]

    PORTS = [("rank", "rank"), ("port", "port"), ("packets", "count"), ("share", "share")]

    def whole(self, population):
        return sum(self.total[population][day] for day in self.days)

    def n4(self):
        for population in POPULATIONS:
            ranked, whole = self.ranked(*self.period, population), self.whole(population)
            rows = self.rows_of_ports(ranked[:10], whole)
            part = self.within(*self.period)
            kept, packets = self.counted(part, population), self.packets[part]
            backscatter = int(packets[kept & (self.cls[part] == BACKSCATTER)].sum())
            rest = sum(packets for _, packets in ranked[10:])
            shown = sum(packets for _, packets in ranked)
            for name, number in (("rest", rest), ("backscatter", backscatter),
                                 ("no-port", whole - backscatter - shown)):
                rows.append([None, name, number, share(number, whole)])
            self.table("n4-ports", self.PORTS, rows, population, plotted=True)

    def rising(self):
        """The five ports of the first 30 whose best week lies highest above their usual day."""
        rises = []
        for place, (port, _) in enumerate(self.ranked(*self.period, "all")[:30]):
            series = [self.port_days["all"].get(day, {}).get(port.key, 0) for day in self.days]
            week = max(min(7, len(series)), 1)
            means = [sum(series[at : at + week]) / week for at in range(len(series) - week + 1)]
            rises.append((-max(means, default=0) / max(events.median(series), 1), place, port))
        return [port for _, _, port in sorted(rises, key=lambda one: one[:2])[:5]]

    def n5(self):
        ports = [Port.parse(text) for text in self.chosen["port"]] or self.rising()
        for population in POPULATIONS:
            found = self.sources_of_ports(ports, *self.period, population)
            rows = [[text_of(day), *[found[day].get(port.key, 0) for port in ports]]
                    for day in self.days]
            columns = [(port.text, "count", ("port", port.text)) for port in ports]
            self.table("n5-sources", [("date", "date"), *columns], rows, population, plotted=True)

    def n6(self):
        peaks = [parse_peak(text) for text in self.chosen["peak"]] or self.peaks
        self.pairs, attributed = [], False
        if not peaks:
            self.note("n6", "peaks-not-found")
        for number, (day, ports) in enumerate(peaks, 1):
            rows = self.within(day, day)
            for population in POPULATIONS:
                kept = self.counted(rows, population) & self.destination[rows]
                kept &= np.isin(self.key[rows], [port.key for port in ports])
                found = self.distinct(self.country[rows][kept], self.source[rows][kept])
                ranked = sorted(((self.codes[place], sources) for place, sources in found.items()),
                                key=lambda one: (-one[1], one[0]))
                whole = sum(found.values())
                lines = [[rank, code, sources, share(sources, whole)]
                         for rank, (code, sources) in enumerate(ranked[:10], 1)]
                rest = sum(sources for _, sources in ranked[10:])
                lines += [[None, "rest", rest, share(rest, whole)], [None, "all", whole, share(whole, whole)]]
                known = [code for code, _ in ranked if code != "??"]
                attributed |= bool(known)
                if population == "all" and known and (known[0], ports[0]) not in self.pairs:
                    self.pairs.append((known[0], ports[0]))
                self.table("n6-countries", [
                    ("rank", "rank"), ("country", "country"), ("sources", "count"), ("share", "share"),
                ], lines, population, str(number),
                    {"date": text_of(day), "ports": ", ".join(port.text for port in ports)}, True)
        if peaks and not attributed:
            self.note("n6", "no-countries", True)

    def n7(self):
        pairs = [(text.split(":")[0], Port.parse(text.split(":")[1]))
                 for text in self.chosen["country_port"]] or self.pairs
        if not pairs:
            self.note("n7", "peaks-not-found")
        for code, port in pairs:
            place = self.codes.index(code) if code in self.codes else -1
            for population in POPULATIONS:
                lines = []
                for day in self.days:
                    rows = self.within(day, day)
                    kept = self.counted(rows, population) & self.destination[rows]
                    kept &= (self.key[rows] == port.key) & (self.country[rows] == place)
                    lines.append([text_of(day), len(different(self.source[rows][kept]))])
                subject = f"{'unknown' if code == '??' else code.lower()}-{port.slug}"
                self.table("n7-days", [("date", "date"), ("sources", "count")], lines, population,
                           subject, {"country": code, "port": port.text}, True)

    # --- Fingerprints ------------------------------------------------------------------------------------

    def confirm(self):
        """{rule: {day: {source: hits}}} of confirmed sources, over all sensors and versions of rules."""
        counts = self.counts
        kept = [place for place, sensor in enumerate(counts.sensors) if sensor in self.sensors]
        self.confirmed = {}
        for (name, _), table in counts.hits.items():
            rows = np.isin(table.sensor, kept)
            self.judge_rule(name, table.day[rows], table.source[rows], table.hits[rows],
                            table.low[rows], table.high[rows])
        probes = (self.protocol == 6) & (self.cls == SCAN) & (self.source < 1 << 32)
        for place, (name, _) in enumerate(counts.constant):
            number, low, high = self.constants[3 * place : 3 * place + 3]
            rows = probes & (number > 0)
            self.judge_rule(name, self.day[rows], self.source[rows], number[rows], low[rows], high[rows])
        self.supersede(superseded_by(counts.all_rules))

    def supersede(self, superseded):
        """A source of a rule is none of the rules that it supersedes."""
        found = {rule: {day: dict(sources) for day, sources in days.items()}
                 for rule, days in self.confirmed.items()}
        for rule, days in self.confirmed.items():
            for other in superseded.get(rule, ()):
                for day, sources in days.items():
                    left = found.get(other, {}).get(day, {})
                    for source in sources:
                        left.pop(source, None)
        self.confirmed = {}
        for rule, days in found.items():
            days = {day: sources for day, sources in days.items() if sources}
            if days:
                self.confirmed[rule] = days

    def judge_rule(self, name, day, source, hits, low, high):
        order = np.argsort(day << SOURCE_BITS | source, kind="stable")
        if not len(order):
            return
        key = (day << SOURCE_BITS | source)[order]
        begins = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]]))
        total = np.add.reduceat(hits[order], begins)
        least = np.minimum.reduceat(low[order], begins)
        most = np.maximum.reduceat(high[order], begins)
        good = (total >= 3) & (least == most)
        good &= key[begins] >> SOURCE_BITS <= self.period[1]
        for one, number in zip(key[begins][good].tolist(), total[good].tolist()):
            days = self.confirmed.setdefault(name, {})
            sources = days.setdefault(one >> SOURCE_BITS, {})
            sources[one & SOURCE_MASK] = sources.get(one & SOURCE_MASK, 0) + number

    def of_rule(self, rule, day):
        return len(self.confirmed[rule].get(day, ()))

    def n8(self):
        rules = [rule for rule in sorted(self.confirmed)
                 if any(day in self.confirmed[rule] for day in self.days)]
        if not rules:
            self.note("n8", "no-fingerprints")
        rows = []
        for rule in rules:
            of = self.confirmed[rule]
            days = [day for day in self.days if day in of]
            peak = max(days, key=lambda day: (len(of[day]), -day))
            found, _ = events.judge(self.comparable, [self.of_rule(rule, day) for day in self.comparable])
            outside = [self.comparable[at] for event in found if event.direction == "rise"
                       for at in event.days if self.comparable[at] >= self.period[0]]
            rows.append([
                rule, text_of(min(of)), text_of(min(outside)) if outside else None, text_of(peak),
                len(of[peak]), sum(of[peak].values()), len(set().union(*(of[day] for day in days))),
                sum(sum(of[day].values()) for day in days),
            ])
        self.table("n8-rules", [
            ("rule", "text"), ("first_seen", "date"), ("onset", "date"), ("peak", "date"),
            ("peak_sources", "count"), ("peak_packets", "count"), ("sources", "count"), ("hits", "count"),
        ], rows)
        rows = [[text_of(day), *[self.of_rule(rule, day) for rule in rules]] for day in self.days]
        columns = [(rule, "count", ("text", rule)) for rule in rules]
        self.table("n8-sources", [("date", "date"), *columns], rows, plotted=True)
        self.telnet()

    def telnet(self):
        counts, rows = self.counts, []
        ports = [6 << 17 | 23, 6 << 17 | 2323]
        marking = {name for rules in counts.all_rules for name, rule in rules.known.items()
                   if rule.telnet_mark}
        tables = [table for (name, _), table in counts.hits.items() if name in marking]
        kept = [place for place, sensor in enumerate(counts.sensors) if sensor in self.sensors]
        for day in self.days:
            part = self.within(day, day)
            scanning = (self.cls[part] == SCAN) & np.isin(self.key[part], ports)
            scanners = different(self.source[part][scanning])
            marked = np.zeros(0, np.int64)
            for marks in tables:
                low, high = np.searchsorted(marks.day, [day, day + 1])
                own = slice(int(low), int(high))
                named = np.isin(marks.protocol[own] << 17 | marks.port[own], ports)
                marked = np.append(marked, marks.source[own][named & np.isin(marks.sensor[own], kept)])
            with_mark = int(np.isin(scanners, marked).sum())
            rows.append([text_of(day), with_mark, len(scanners) - with_mark])
        self.table("n8-telnet", [("date", "date"), ("with_mark", "count"), ("without_mark", "count")],
                   rows, plotted=True)

    def n9(self):
        found = {}
        for scanner in self.counts.scanners:
            if scanner["sensor"] in self.sensors and scanner["day"] in range(*self.span()):
                found.setdefault(scanner["source"], []).append(scanner)
        if not found:
            self.note("n9", "no-research")
        rows = []
        totals = {source: sum(one["packets"] for one in all_of) for source, all_of in found.items()}
        for source in sorted(found, key=lambda source: (-totals[source], source >> 32, self.octets(source)))[:100]:
            all_of = found[source]
            at = int(np.flatnonzero(self.source == source)[0])
            asn = int(self.asn[at])
            rows.append([
                str(self.counts.sources.address(source)), self.codes[int(self.country[at])],
                self.counts.systems[asn] if asn >= 0 else None, len({one["day"] for one in all_of}),
                totals[source], max(one["ports"] for one in all_of),
                "yes" if any(one["listed"] for one in all_of) else "no",
                max((one["name"] for one in all_of if one["name"]), default=None),
            ])
        self.table("n9-sources", [
            ("source", "text"), ("country", "country"), ("asn", "asn"), ("days", "count"),
            ("packets", "count"), ("ports", "count"), ("listed", "word"), ("name", "text"),
        ], rows)
        by_name = {}
        for all_of in found.values():
            for one in all_of:
                by_name.setdefault((one["name"], one["listed"]), []).append(one)
        whole = self.whole("all")
        rows = [
            [name, "yes" if listed else "no", len({one["day"] for one in all_of}),
             len({one["source"] for one in all_of}), sum(one["packets"] for one in all_of)]
            for (name, listed), all_of in by_name.items()
        ]
        rows.sort(key=lambda row: (-row[4], row[0] is None, (row[0] or "").encode(), row[1] == "yes"))
        rows = [[*row, share(row[4], whole)] for row in rows[:100]]
        self.table("n9-names", [
            ("name", "text"), ("listed", "word"), ("days", "count"), ("sources", "count"),
            ("packets", "count"), ("share", "share"),
        ], rows)
        rows = []
        observed = sum(any((day, sensor) in self.accounts for sensor in self.sensors)
                       for day in self.days)
        packets = [float(self.whole(population)) for population in POPULATIONS]
        sources = [quotient(sum(self.tcp[population][day] for day in self.days), observed)
                   for population in POPULATIONS]
        for measure, (both, without) in (("packets", packets), ("tcp_sources", sources)):
            research = None if both is None else both - without
            rows.append([measure, both, without, research, None if not both else 100 * research / both])
        self.table("n9-summary", [
            ("measure", "word"), ("all", "number"), ("without", "number"), ("research", "number"),
            ("share", "share"),
        ], rows)

    def octets(self, source):
        return self.counts.sources.address(source).packed

    # --- Ports and regions ---------------------------------------------------------------------------------

    def previous(self, ranked, item):
        places = [rank for rank, (one, _) in enumerate(ranked[:10], 1) if one == item]
        return places[0] if places else None

    def t1(self):
        for population in POPULATIONS:
            rows = self.rows_of_ports(self.ranked(*self.period, population)[:5], self.whole(population))
            before = self.ranked(*self.compare, population)
            for row in rows:
                row.append(self.previous(before, Port.parse(row[1])) if "/" in row[1] else None)
            self.table("t1-ports", [*self.PORTS, ("previous", "rank")], rows, population, plotted=True)

    def t2(self):
        if not self.ranked_countries(*self.period, "all"):
            self.note("t2", "no-countries", True)
        for population in POPULATIONS:
            ranked = self.ranked_countries(*self.period, population)
            before = self.ranked_countries(*self.compare, population)
            whole = self.whole(population)
            rows = [[rank, code, packets, share(packets, whole), self.previous(before, code)]
                    for rank, (code, packets) in enumerate(ranked[:5], 1)]
            self.table("t2-regions", [
                ("rank", "rank"), ("country", "country"), ("packets", "count"), ("share", "share"),
                ("previous", "rank"),
            ], rows, population, plotted=True)

    def t3(self):
        for population in POPULATIONS:
            ports = [port for port, _ in self.ranked(*self.period, population)[:5]]
            found = self.port_days[population]
            rows = [[text_of(day), *[found.get(day, {}).get(port.key, 0) for port in ports]]
                    for day in self.days]
            columns = [(port.text, "count", ("port", port.text)) for port in ports]
            self.table("t3-days", [("date", "date"), *columns], rows, population, plotted=True)

    def country_days(self, kept):
        """Packets by day and country: {day: {place: packets}}."""
        part = self.within(*self.period)
        both = self.day[part][kept] << 32 | self.country[part][kept]
        found = {}
        for key, packets in self.sums(both, self.packets[part][kept]).items():
            found.setdefault(key >> 32, {})[key & 0xFFFFFFFF] = packets
        return found

    def t4(self):
        part = self.within(*self.period)
        if not self.ranked_countries(*self.period, "all"):
            self.note("t4", "no-countries", True)
        for population in POPULATIONS:
            codes = [code for code, _ in self.ranked_countries(*self.period, population)[:5]]
            found = self.country_days(self.counted(part, population))
            rows = [[text_of(day), *[found.get(day, {}).get(self.codes.index(code), 0) for code in codes]]
                    for day in self.days]
            columns = [(code, "count", ("country", code)) for code in codes]
            self.table("t4-days", [("date", "date"), *columns], rows, population, plotted=True)

    def t5(self):
        part = self.within(*self.period)
        first = [port for port, _ in self.ranked(*self.period, "all")[:1]]
        ports = [Port.parse(text) for text in self.chosen["region_port"]] or first
        if not any(self.ranked_countries(*self.period, "all", port) for port in ports):
            self.note("t5", "no-countries", True)
        for port in ports:
            for population in POPULATIONS:
                codes = [code for code, _ in self.ranked_countries(*self.period, population, port)[:5]]
                kept = self.counted(part, population) & self.destination[part]
                found = self.country_days(kept & (self.key[part] == port.key))
                rows = []
                for day in self.days:
                    of_day = found.get(day, {})
                    shown = [of_day.get(self.codes.index(code), 0) for code in codes]
                    rows.append([text_of(day), *shown, sum(of_day.values()) - sum(shown)])
                columns = [(code, "count", ("country", code)) for code in [*codes, "rest"]]
                self.table("t5-days", [("date", "date"), *columns], rows, population, port.slug,
                           {"port": port.text}, True)

    def t6(self):
        ports = self.answer_ports()
        part = self.within(*self.period)
        any_row = any_country = False
        for port in ports:
            answers = (self.cls[part] == BACKSCATTER) & (self.key[part] == port.key)
            day, country = self.day[part][answers], self.country[part][answers]
            source, packets = self.source[part][answers], self.packets[part][answers]
            by_day = self.sums(day, packets)
            self.table("t6-days", [("date", "date"), ("packets", "count")],
                       [[text_of(day), by_day.get(day, 0)] for day in self.days], "all", port.slug,
                       {"port": port.text}, True)
            resolvers, by_country = self.distinct(country, source), self.sums(country, packets)
            any_row |= bool(by_country)
            any_country |= any(place != self.unknown for place in by_country)
            ranked = sorted(((self.codes[place], resolvers[place], number)
                             for place, number in by_country.items()), key=lambda one: (-one[2], one[0]))
            whole = sum(by_country.values())
            rows = [[rank, *one, share(one[2], whole)] for rank, one in enumerate(ranked[:10], 1)]
            for name, some in (("rest", ranked[10:]), ("all", ranked)):
                number = sum(one[2] for one in some)
                rows.append([None, name, sum(one[1] for one in some), number, share(number, whole)])
            self.table("t6-countries", [
                ("rank", "rank"), ("country", "country"), ("resolvers", "count"), ("packets", "count"),
                ("share", "share"),
            ], rows, "all", port.slug, {"port": port.text}, True)
        if any_row and not any_country:
            self.note("t6", "no-countries", True)

    def t7(self):
        if not self.chosen["notify"]:
            self.note("t7", "notify-not-asked")
        elif self.chosen.get("pseudonyms"):
            self.note("t7", "pseudonymised")
        part = self.within(*self.period)
        for subject in self.chosen["notify"]:
            if "/" in subject:
                port = Port.parse(subject)
                kept = self.destination[part] & (self.key[part] == port.key)
                slug, args = port.slug, {"port": port.text}
            else:
                of = self.confirmed.get(subject, {})
                keys = [day << SOURCE_BITS | source for day, some in of.items() for source in some]
                kept = (self.protocol[part] == 6) & (self.cls[part] == SCAN)
                kept &= np.isin(self.day[part] << SOURCE_BITS | self.source[part],
                                np.array(keys, np.int64))
                slug, args = subject, {"rule": subject}
            self.notified(part, kept, slug, args)

    def notified(self, part, kept, slug, args):
        rows = np.flatnonzero(kept) + part.start
        order = rows[np.argsort(self.source[rows], kind="stable")]
        sources = self.source[order]
        begins = np.flatnonzero(np.concatenate([[True], sources[1:] != sources[:-1]])) if (
            len(order)) else np.zeros(0, np.int64)
        best = self.rules_of(set(sources[begins].tolist())) if "port" in args else {}
        told, systems = [], {}
        for begin, end in zip(begins.tolist(), [*begins[1:].tolist(), len(order)]):
            some = order[begin:end]
            source = int(sources[begin])
            last = max((int(self.last_ms[row]), int(self.last_port[row])) for row in some.tolist())
            asn = int(self.asn[some[0]])
            asn = self.counts.systems[asn] if asn >= 0 else None
            code = self.codes[int(self.country[some].min())]
            packets = int(self.packets[some].sum())
            address = self.counts.sources.address(source)
            if self.chosen.get("pseudonyms"):
                address = self.chosen["pseudonyms"].of(address)
            told.append(((asn is None, asn or 0, code, address.version, address.packed), [
                asn, code, str(address), self.time(int(self.first_ms[some].min())), self.time(last[0]),
                last[1] if last[1] >= 0 else None, packets,
                best.get(source) if "port" in args else args["rule"],
            ]))
            system = systems.setdefault((asn is None, asn or 0, code), [asn, code, 0, 0])
            system[2] += 1
            system[3] += packets
        told.sort(key=lambda one: one[0])
        self.table("t7-systems", [
            ("asn", "asn"), ("country", "country"), ("sources", "count"), ("packets", "count"),
        ], [systems[key] for key in sorted(systems)], "all", slug, args)
        self.table("t7-sources", [
            ("asn", "asn"), ("country", "country"), ("source", "text"), ("first_seen", "time"),
            ("last_seen", "time"), ("last_source_port", "count"), ("packets", "count"),
            ("rule", "text"),
        ], [row for _, row in told], "all", slug, args)

    def rules_of(self, wanted):
        """The confirmed rule of each source with most hits in the period, the first by name."""
        hits = {}
        for rule in sorted(self.confirmed):
            for day in self.days:
                for source, number in self.confirmed[rule].get(day, {}).items():
                    if source in wanted:
                        of = hits.setdefault(source, {})
                        of[rule] = of.get(rule, 0) + number
        return {source: min(of, key=lambda rule: (-of[rule], rule)) for source, of in hits.items()}

    @staticmethod
    def time(milliseconds):
        moment = datetime.datetime.fromtimestamp(milliseconds // 1000, datetime.UTC)
        return f"{moment:%Y-%m-%dT%H:%M:%S}.{milliseconds % 1000:03}Z"

    def t8(self):
        for population in POPULATIONS:
            months = {}
            for day in self.days:
                month = months.setdefault(text_of(day)[:7], [0, 0])
                month[0] += sum(
                    self.accounts.get((day, sensor), {"observed_ms": 0})["observed_ms"] > 0
                    for sensor in self.sensors
                )
                month[1] += self.total[population][day]
            rows = [[month, quotient(packets, days), days, packets]
                    for month, (days, packets) in sorted(months.items())]
            self.table("t8-months", [
                ("month", "month"), ("packets_per_sensor_day", "number"), ("days", "count"),
                ("packets", "count"),
            ], rows, population, plotted=True)
        part = self.within(*self.period)
        for sensor in self.sensors:
            place = self.counts.sensors.index(sensor) if sensor in self.counts.sensors else -1
            for population in POPULATIONS:
                kept = self.counted(part, population) & (self.sensor[part] == place)
                whole = int(self.packets[part][kept].sum())
                ranked = self.ranked(*self.period, population, place)[:10]
                self.table("t8-sensor", self.PORTS, self.rows_of_ports(ranked, whole), population,
                           sensor, {"sensor": sensor})

    # --- Events ------------------------------------------------------------------------------------------

    def candidates(self):
        """Ports that stand out on any complete day, by the packets of their best."""
        best = {}
        for day in self.comparable:
            if day < self.period[0]:
                continue
            # Without research scanners: one on a hundred ports is one scanner.
            of_day = self.port_days["without-research"].get(day, {})
            ordered = sorted(of_day, key=lambda key: (-of_day[key], self.port_of(key).order))
            whole = self.total["all"][day]
            for place, key in enumerate(ordered):
                if place < 20 or of_day[key] >= 0.005 * whole:
                    best[key] = max(best.get(key, 0), of_day[key])
        ordered = sorted(best, key=lambda key: (-best[key], self.port_of(key).order))
        return [self.port_of(key) for key in ordered[:60]]

    def find_events(self):
        ports = self.candidates()
        sources = self.sources_of_ports(ports, self.baseline_from, self.period[1], "without-research")
        packets = self.port_days["without-research"]
        found = self.events_of("all", self.total["all"].get, self.tcp["all"].get, False)
        for port in ports:
            found += self.events_of(
                port.text, lambda day, key=port.key: packets.get(day, {}).get(key, 0),
                lambda day, key=port.key: sources[day].get(key, 0), True,
            )
        by_text = {port.text: port for port in ports}
        rises = [one for one in found if one["kind"] != "fall" and one["port"] in by_text]
        peaks = []
        for one in rises:
            port = by_text[one["port"]]
            days = [day for day in self.days if one["from"] <= day <= one["to"]]
            day = max(days, key=lambda day: (sources[day].get(port.key, 0), -day))
            peaks.append((-sources[day].get(port.key, 0), one["from"], port.order, day, port))
        peaks.sort(key=lambda one: one[:4])
        chosen = []
        for *_, day, port in peaks:
            if (day, [port]) not in chosen:
                chosen.append((day, [port]))
        self.peaks = chosen[:2]
        for port in self.answer_ports():
            answers = self.answers_of(port)
            of_port = self.events_of(port.text, answers, lambda day: 0, False)
            found += [{**one, "measure": "answers"} for one in of_port]
        for rule in sorted(self.confirmed):
            first = events.first_of_rule(
                self.comparable, [self.of_rule(rule, day) for day in self.comparable], self.period[0])
            if first:
                at, usual = first
                day = self.comparable[at]
                found.append({
                    "from": day, "to": day, "port": None, "measure": "sources",
                    "kind": "new-fingerprint", "peak": day, "value": self.of_rule(rule, day),
                    "usual": usual, "band": 5.0, "rule": rule,
                })
        self.found = sorted(found, key=lambda one: (
            one["from"], one["port"] != "all", one["port"] is None, one["port"] or "",
            one["measure"] == "answers", one["kind"], one["rule"] or "",
        ))
        _, unjudged = events.judge(self.comparable, [self.total["all"][day] for day in self.comparable])
        self.unjudged = sum(self.comparable[at] >= self.period[0] for at in unjudged)

    def answer_ports(self):
        return [Port.parse(text) for text in self.chosen["answer_port"]] or [Port(17, 53)]

    def answers_of(self, port):
        """What gives the answers from a source port on a day."""
        rows = self.within(self.baseline_from, self.period[1])
        answers = (self.cls[rows] == BACKSCATTER) & (self.key[rows] == port.key)
        found = self.sums(self.day[rows][answers], self.packets[rows][answers])
        return lambda day: found.get(day, 0)

    def events_of(self, name, packets, sources, is_port):
        """Events of a port by packets and by sources; those that overlap are one."""
        found = []
        for measure, get in (("packets", packets), ("sources", sources)):
            judged, _ = events.judge(self.comparable, [get(day) for day in self.comparable])
            for event in judged:
                days = [self.comparable[at] for at in event.days]
                if days[-1] < self.period[0]:
                    continue
                kind = event.direction
                if kind == "rise" and is_port:
                    seen = sum(packets(self.comparable[at]) > 10 for at in event.baseline)
                    kind = "new-port" if seen < 7 else kind
                peak = event.peak()
                value, usual, band = event.figures[peak]
                found.append({
                    "from": days[0], "to": days[-1], "port": name, "measure": measure, "kind": kind,
                    "peak": days[peak], "value": value, "usual": usual, "band": band, "rule": None,
                })
        rows = []
        for falls in (False, True):
            last = None
            some = [one for one in found if (one["kind"] == "fall") == falls]
            for one in sorted(some, key=lambda one: (one["from"], one["measure"])):
                if last is None or one["from"] > last["to"]:
                    last = one
                    rows.append(one)
                    continue
                begin, end = min(last["from"], one["from"]), max(last["to"], one["to"])
                is_new = "new-port" in (last["kind"], one["kind"])
                sign = -1 if falls else 1
                rank = lambda one: (sign * self.ratio(one), one["measure"] == "packets")
                if rank(one) > rank(last):
                    last.update(one)
                last.update({"from": begin, "to": end})
                if is_new:
                    last["kind"] = "new-port"
        return rows

    @staticmethod
    def ratio(event):
        return event["value"] / max(event["usual"], 1)

    def c2(self):
        if self.unjudged:
            self.note("c2", "no-baseline", True, days=self.unjudged)
        rows = [[
            text_of(one["from"]), text_of(one["to"]), one["port"], one["measure"], one["kind"],
            text_of(one["peak"]), one["value"], float(one["usual"]), float(one["band"]),
            self.ratio(one), one["rule"],
        ] for one in self.found]
        self.table("c2-events", [
            ("from", "date"), ("to", "date"), ("port", "port"), ("measure", "word"), ("kind", "word"),
            ("peak", "date"), ("value", "count"), ("usual", "number"), ("band", "number"),
            ("ratio", "number"), ("rule", "text"),
        ], rows)
