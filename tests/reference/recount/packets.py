"""Captures: records, headers, cells and fingerprints, many packets at once.

A frame of the common form (Ethernet, IPv4 without options, no later fragment) is found by vectors;
any other one by `odd`, which reads one frame as the counting rules' text says. Both only say where
the headers are: class, port and fingerprints are worked out in one place for all.
"""

import ipaddress
import struct

import numpy as np

from .rules import evaluate

NAMES = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmpv6"}
CLASSES = ["scan", "backscatter", "other"]
SCAN, BACKSCATTER, OTHER = range(3)
# Octets that may be asked for behind a capture's end, so that vectors need no bounds.
MARGIN = 1 << 17


class Capture:
    """A pcap file: where its records are, and when they came."""

    def __init__(self, path):
        self.path = path
        self.octets = self.load(path)
        octets = self.octets[: len(self.octets) - MARGIN]
        head = octets[:24].tobytes()
        magic = head[:4].hex()
        forms = {"d4c3b2a1": ("<", 1), "a1b2c3d4": (">", 1), "4d3cb2a1": ("<", 1000),
                 "a1b23c4d": (">", 1000)}
        if magic not in forms:
            raise ValueError(f"{path} is no pcap file")
        order, self.fraction = forms[magic]
        self.little = order == "<"
        self.link = struct.unpack(order + "I", head[20:24])[0] & 0xFFFF
        self.starts = np.array(list(self.records(octets, order)), np.int64)
        captured, self.wire = self.word(8), self.word(12)
        self.starts += 16
        self.ends = self.starts + captured
        # How long the frame was, never less than was captured.
        self.wire = np.maximum(self.wire, captured)

    @staticmethod
    def load(path):
        return np.concatenate([np.fromfile(path, np.uint8), np.zeros(MARGIN, np.uint8)])

    @staticmethod
    def records(octets, order):
        length_of = struct.Struct(order + "I").unpack_from
        view, at, end = memoryview(octets), 24, len(octets)
        while at + 16 <= end:
            length = length_of(view, at + 8)[0]
            if at + 16 + length > end:
                return
            yield at
            at += 16 + length

    def word(self, place):
        at = self.starts + place
        places = range(3, -1, -1) if self.little else range(4)
        value = np.zeros(len(at), np.int64)
        for place in places:
            value = value << 8 | self.octets[at + place]
        return value

    def times(self):
        """Microseconds since 1970 of every record."""
        self.starts -= 16
        times = self.word(0) * 1_000_000 + self.word(4) // self.fraction
        self.starts += 16
        return times


class Darknet:
    """Which destinations are dark: of the prefixes that hold an address the longest decides."""

    def __init__(self, include, exclude):
        both = [(ipaddress.ip_network(text), True) for text in include]
        both += [(ipaddress.ip_network(text), False) for text in exclude]
        self.name = tuple(sorted((str(network), dark) for network, dark in both))
        self.of = {version: [(network, dark) for network, dark in both if network.version == version]
                   for version in (4, 6)}
        # IPv4 as ranges, each with one answer.
        edges = {0}
        for network, _ in self.of[4]:
            edges |= {int(network.network_address), int(network.broadcast_address) + 1}
        edges = sorted(edge for edge in edges if edge < 1 << 32)
        self.edges = np.array(edges, np.int64)
        self.dark = np.array([self.holds(ipaddress.IPv4Address(edge)) for edge in edges])
        lengths = np.diff(np.append(self.edges, 1 << 32))
        self.addresses = int(lengths[self.dark].sum())

    def holds(self, address):
        found = [(network.prefixlen, dark) for network, dark in self.of[address.version]
                 if address in network]
        return bool(found) and max(found, key=lambda one: one[0])[1]

    def holds4(self, addresses):
        return self.dark[np.searchsorted(self.edges, addresses, "right") - 1]


class Sources:
    """A number for every source: an IPv4 address is its own, IPv6 ones come behind them."""

    def __init__(self):
        self.of6, self.all6 = {}, []

    def number6(self, octets):
        if octets not in self.of6:
            self.of6[octets] = (1 << 32) + len(self.all6)
            self.all6.append(octets)
        return self.of6[octets]

    def address(self, number):
        number = int(number)
        if number < 1 << 32:
            return ipaddress.IPv4Address(number)
        return ipaddress.IPv6Address(self.all6[number - (1 << 32)])


class Datagrams:
    """Dark datagrams of a part of a capture, as columns.

    `record` (which record), `source` (its number), `ip` (where the header begins), `version`,
    `protocol`, `part` and `end` (where layer 4 begins and ends; both -1 where headers do not lead to it).
    """

    def __init__(self, capture, first, last, darknet, sources):
        self.octets = capture.octets
        starts, ends = capture.starts[first:last], capture.ends[first:last]
        common = self.common(capture, starts, ends)
        rows = np.flatnonzero(common)
        ip = starts[rows] + 14
        dark = darknet.holds4(self.be32(ip + 16))
        rows, ip = rows[dark], ip[dark]
        protocol = self.octets[ip + 9].astype(np.int64)
        length, captured = self.be16(ip + 2), ends[rows] - ip
        end = ip + np.where(length < 20, captured, np.minimum(captured, length))
        columns = [[rows, self.be32(ip + 12), ip, np.full(len(ip), 4), protocol, ip + 20, end]]
        more = [self.odd(capture, row, starts, ends, darknet, sources)
                for row in np.flatnonzero(~common).tolist()]
        more = [found for found in more if found]
        if more:
            columns.append([np.array(column, np.int64) for column in zip(*more)])
        joined = [np.concatenate(parts) for parts in zip(*columns)]
        order = np.argsort(joined[0], kind="stable")
        joined = [column[order] for column in joined]
        self.record, self.source, self.ip, self.version, self.protocol, self.part, self.end = joined
        self.record = self.record + first
        # An end before the beginning: cut within the IPv4 options.
        self.length = np.where(self.part < 0, -1, np.maximum(self.end - self.part, 0))

    def common(self, capture, starts, ends):
        if capture.link != 1:
            return np.zeros(len(starts), bool)
        octet = lambda place: self.octets[starts + place]
        return (
            (ends - starts >= 34) & (octet(12) == 8) & (octet(13) == 0) & (octet(14) == 0x45)
            & (octet(20) & 0x1F == 0) & (octet(21) == 0)
        )

    def be16(self, at):
        return self.octets[at].astype(np.int64) << 8 | self.octets[at + 1]

    def be32(self, at):
        return self.be16(at) << 16 | self.be16(at + 2)

    def odd(self, capture, row, starts, ends, darknet, sources):
        """One frame by the text of the rules; None: it is passed."""
        start = int(starts[row])
        frame = self.octets[start : int(ends[row])].tobytes()
        found = datagram_of(capture.link, frame)
        if not found:
            return None
        version, offset = found
        datagram = frame[offset:]
        read = ipv4(datagram) if version == 4 else ipv6(datagram)
        if not read:
            return None
        source, destination, protocol, part, end = read
        if not darknet.holds(ipaddress.ip_address(destination)):
            return None
        number = int.from_bytes(source, "big") if version == 4 else sources.number6(source)
        at = start + offset
        place = (-1, -1) if part is None else (at + part, at + end)
        return (row, number, at, version, protocol, *place)

    # --- Cells -----------------------------------------------------------------------------------

    def judge(self, rules):
        """Sets `cls`, `port` (-1: none) and `source_port` (-1: none)."""
        count = len(self.record)
        self.cls = np.full(count, OTHER, np.int8)
        self.port = np.full(count, -1, np.int64)
        self.source_port = np.full(count, -1, np.int64)
        of_flags = np.array([CLASSES.index(name) for name in rules.of_flags], np.int8)
        for name, number in (("icmp", 1), ("icmpv6", 58)):
            types = [CLASSES.index(rules.by_type.get((name, kind), "other")) for kind in range(256)]
            rows = np.flatnonzero((self.protocol == number) & (self.length >= 1))
            self.cls[rows] = np.array(types, np.int8)[self.octets[self.part[rows]]]
            rows = rows[self.length[rows] >= 2]
            self.port[rows] = self.be16(self.part[rows])
        tcp = np.flatnonzero((self.protocol == 6) & (self.length >= 14))
        self.cls[tcp] = of_flags[self.octets[self.part[tcp] + 13]]
        udp = np.flatnonzero((self.protocol == 17) & (self.length >= 0))
        self.cls[udp] = SCAN
        ported = np.flatnonzero(
            ((self.protocol == 6) | (self.protocol == 17)) & (self.length >= 4)
        )
        self.source_port[ported] = self.be16(self.part[ported])
        self.port[ported] = self.be16(self.part[ported] + 2)
        self.find_answers(rules, udp)
        back = ported[self.cls[ported] == BACKSCATTER]
        self.port[back] = self.source_port[back]

    def find_answers(self, rules, udp):
        """UDP from a reflector's port: an answer by its own marks, or cut before they could be told."""
        udp = udp[np.isin(self.source_port[udp], list(rules.answers))]
        said = np.where(self.length[udp] >= 6, self.be16(self.part[udp] + 4), 65535)
        self.claimed = np.zeros(len(self.record), np.int64)
        self.claimed[udp] = np.maximum(said - 8, 0)
        self.captured = np.zeros(len(self.record), np.int64)
        self.captured[udp] = np.maximum(self.length[udp] - 8, 0)
        for port in np.unique(self.source_port[udp]).tolist():
            rows = udp[self.source_port[udp] == port]
            value, known = evaluate(rules.answers[port], self, rows)
            cut = ~known & (self.captured[rows] < self.claimed[rows])
            self.cls[rows[(known & value) | cut]] = BACKSCATTER

    def payload(self, index, rows):
        room = np.minimum(self.captured[rows], self.claimed[rows])
        there = index < room
        octets = self.octets[self.part[rows] + 8 + np.where(there, index, 0)]
        return octets, there

    def begins(self, what, wanted, open_end, rows):
        """Do the octets begin like this, and end there unless the pattern is open?"""
        if what == "payload":
            start, room = self.part[rows] + 8, np.minimum(self.captured[rows], self.claimed[rows])
            said, whole = self.claimed[rows], np.ones(len(rows), bool)
        else:
            start, (room, whole) = self.part[rows] + 20, self.options(rows)
            said = room
        equal, known = np.ones(len(rows), bool), np.ones(len(rows), bool)
        for place, octet in enumerate(wanted):
            there = place < room
            known &= there | ~equal
            if octet is not None:
                equal &= ~there | (self.octets[start + place] == octet)
        known |= ~equal
        if what != "payload":
            # Options are wholly there or not at all, so that a shorter list is another one.
            equal, known = equal & (room >= len(wanted)), whole
        if not open_end:
            equal &= said == len(wanted)
        return equal, known

    # --- Fingerprints ----------------------------------------------------------------------------

    def probes(self):
        """Rows that fingerprints look at."""
        return np.flatnonzero(
            (self.protocol == 6) & (self.cls == SCAN) & (self.version == 4) & (self.length >= 14)
        )

    def options(self, rows):
        """Octets of TCP options, and whether the header is wholly there."""
        header = (self.octets[self.part[rows] + 12] >> 4).astype(np.int64) * 4
        whole = (header >= 20) & (header <= self.length[rows])
        return np.where(whole, header - 20, 0), whole

    def field(self, name, rows):
        """A header field as rules name it."""
        if name == "payload.length":
            return self.claimed[rows].astype(np.uint32), np.ones(len(rows), bool)
        if name == "tcp.mss":
            return self.segment_size(rows)
        ip, part, length = self.ip[rows], self.part[rows], self.length[rows]
        layer, place, width, shift, mask = FIELDS[name]
        at = (ip if layer == "ip" else part) + place
        value = self.octets[at].astype(np.int64)
        for more in range(1, width):
            value = value << 8 | self.octets[at + more]
        known = np.ones(len(rows), bool) if layer == "ip" else length >= place + width
        return (value >> shift & mask).astype(np.uint32), known

    def segment_size(self, rows):
        """The maximum segment size among the options."""
        room, whole = self.options(rows)
        value, known = np.zeros(len(rows), np.uint32), np.zeros(len(rows), bool)
        for row in np.flatnonzero(whole).tolist():
            start = int(self.part[rows[row]]) + 20
            options = self.octets[start : start + int(room[row])].tobytes()
            at = 0
            while at < len(options) and options[at] != 0:
                if options[at] == 1:
                    at += 1
                    continue
                length = options[at + 1] if at + 1 < len(options) else 0
                if length < 2 or at + length > len(options):
                    break
                if options[at] == 2 and length == 4:
                    value[row] = int.from_bytes(options[at + 2 : at + 4], "big")
                    known[row] = True
                    break
                at += length
        return value, known


# Layer, octets before it, octets, bits behind it, mask.
FIELDS = {
    "ip.source": ("ip", 12, 4, 0, 0xFFFFFFFF),
    "ip.destination": ("ip", 16, 4, 0, 0xFFFFFFFF),
    "ip.id": ("ip", 4, 2, 0, 0xFFFF),
    "ip.length": ("ip", 2, 2, 0, 0xFFFF),
    "ip.ttl": ("ip", 8, 1, 0, 0xFF),
    "ip.tos": ("ip", 1, 1, 0, 0xFF),
    "ip.df": ("ip", 6, 2, 14, 1),
    "tcp.source_port": ("tcp", 0, 2, 0, 0xFFFF),
    "tcp.destination_port": ("tcp", 2, 2, 0, 0xFFFF),
    "tcp.seq": ("tcp", 4, 4, 0, 0xFFFFFFFF),
    "tcp.ack": ("tcp", 8, 4, 0, 0xFFFFFFFF),
    "tcp.flags": ("tcp", 13, 1, 0, 0xFF),
    "tcp.window": ("tcp", 14, 2, 0, 0xFFFF),
    "tcp.urgent": ("tcp", 18, 2, 0, 0xFFFF),
    "tcp.header_length": ("tcp", 12, 1, 2, 0x3C),
}


# --- One frame, by the text of the rules ---------------------------------------------------------


def number(octets, at, size=2):
    """Octets as a number; None where they are not all there."""
    if at + size > len(octets):
        return None
    return int.from_bytes(octets[at : at + size], "big")


def datagram_of(link, frame):
    """IP version and octets before the datagram; None: not IP, or too deep."""
    if link in (0, 108):
        family = frame[:4]
        is_one_of = lambda *families: any(
            family == one.to_bytes(4, order) for one in families for order in ("big", "little")
        )
        if is_one_of(2):
            return versioned(frame, 4, 4)
        return versioned(frame, 4, 6) if is_one_of(10, 24, 28, 30) else None
    if link in (12, 14, 101, 228, 229):
        return versioned(frame, 0)
    cisco = link == 104 or (link == 50 and frame[:1] in (b"\x0f", b"\x8f"))
    if link in (9, 50) and not cisco:
        return ppp(frame)
    if link == 51:
        return session(frame, 0)
    if link == 239:
        return nflog(frame)
    places = {1: (12, 14), 113: (14, 16), 276: (0, 20), 104: (2, 4), 50: (2, 4)}
    if link not in places:
        return None
    at, behind = places[link]
    kind = number(frame, at)
    # Only Ethernet has a length there; a cooked capture calls LLC 4.
    if kind is None or (kind <= 1500 and link != 1 and (cisco or kind != 4)):
        return None
    return behind_type(frame, kind, behind)


TAG_BYTES = {0x8100: 2, 0x88A8: 2, 0x9100: 2, 0x9200: 2, 0x8926: 4, 0x893F: 6, 0x8988: 6}
# What may follow a time of 32 bits.
FAMILIAR = {0x0800, 0x86DD, 0x8864, 0x8847, 0x8848, 0x8100, 0x88A8, 0x9100, 0x9200}


def behind_type(frame, kind, behind):
    """The datagram of a frame that goes on at `behind` with this EtherType or length."""
    tags, snaps = 0, 0
    while kind in TAG_BYTES or kind <= 1500:
        if kind <= 1500:
            if frame[behind : behind + 6] not in (b"\xaa\xaa\3\0\0\0", b"\xaa\xaa\3\0\0\xf8"):
                return None
            snaps, step = snaps + 1, 6
        else:
            tags, step = tags + 1, TAG_BYTES[kind]
            short, long = number(frame, behind + 4), number(frame, behind + 6)
            if kind == 0x8988 and (short is None or long is None):
                return None
            if kind == 0x8988 and short in FAMILIAR and long not in FAMILIAR:
                step = 4
        kind, behind = number(frame, behind + step), behind + step + 2
        if tags > 4 or snaps > 1 or kind is None:
            return None
    if kind in (0x0800, 0x86DD):
        return versioned(frame, behind, 4 if kind == 0x0800 else 6)
    if kind == 0x8864:
        return session(frame, behind)
    if kind in (0x8847, 0x8848):
        return labels(frame, behind)
    return None


def session(frame, at):
    """PPP in a PPPoE session."""
    if number(frame, at) != 0x1100:
        return None
    inner = {0x21: 4, 0x57: 6}.get(number(frame, at + 6))
    return versioned(frame, at + 8, inner) if inner else None


def labels(frame, behind):
    """What follows MPLS labels."""
    for label in range(8):
        bottom = number(frame, behind + 2, 1)
        if bottom is None or number(frame, behind, 4) is None:
            return None
        behind += 4
        if bottom & 1:
            return versioned(frame, behind)
    return None


def ppp(frame):
    """PPP, with or without address and control; a small protocol number may have one octet."""
    at = 2 if frame[:2] == b"\xff\x03" else 0
    first = number(frame, at, 1)
    if first is None:
        return None
    size = 1 if first & 1 else 2
    protocol, at = number(frame, at, size), at + size
    if protocol in (0x0281, 0x0283):
        return labels(frame, at)
    inner = {0x21: 4, 0x57: 6}.get(protocol)
    return versioned(frame, at, inner) if inner else None


def nflog(frame):
    """The packet among netfilter's attributes, whose byte order their types tell."""
    inner = {2: 4, 10: 6}.get(number(frame, 0, 1))
    at = 4
    while inner and at + 4 <= len(frame):
        orders = [order for order in ("little", "big")
                  if int.from_bytes(frame[at + 2 : at + 4], order) < 256]
        if not orders:
            return None
        length, kind = (int.from_bytes(frame[at + place : at + place + 2], orders[0])
                        for place in (0, 2))
        if length < 4:
            return None
        if kind == 9:
            return versioned(frame, at + 4, inner)
        at += (length + 3) // 4 * 4
    return None


def versioned(frame, offset, wanted=None):
    """The datagram there, if its first four bits are a version, and the one that was said."""
    first = number(frame, offset, 1)
    if first is None or first >> 4 not in (4, 6) or wanted not in (None, first >> 4):
        return None
    return first >> 4, offset


def ipv4(datagram):
    """Source, destination, protocol, and where layer 4 begins and ends (None: not reached)."""
    if len(datagram) < 20:
        return None
    source, destination = datagram[12:16], datagram[16:20]
    header, total = (datagram[0] & 15) * 4, number(datagram, 2)
    end = len(datagram) if total < header else min(len(datagram), total)
    if header < 20 or number(datagram, 6) & 0x1FFF:
        return source, destination, datagram[9], None, None
    return source, destination, datagram[9], header, end


def ipv6(datagram):
    """The same of IPv6, behind its extension headers."""
    if len(datagram) < 40:
        return None
    source, destination = datagram[8:24], datagram[24:40]
    said = number(datagram, 4)
    end = len(datagram) if said == 0 else min(len(datagram), 40 + said)
    kind, at = datagram[6], 40
    while kind in (0, 43, 44, 51, 60):
        units = datagram[at + 1] if at + 1 < end else None
        if units is None or (kind == 51 and units == 0):
            return source, destination, kind, None, None
        length = {44: 8, 51: (units + 2) * 4}.get(kind, (units + 1) * 8)
        if at + length > end:
            return source, destination, kind, None, None
        later = kind == 44 and number(datagram, at + 2) & 0xFFF8
        kind, at = datagram[at], at + length
        if later:
            return source, destination, kind, None, None
    return source, destination, kind, at, end
