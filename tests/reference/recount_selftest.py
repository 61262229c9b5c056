"""Tests of the recount itself: packets written by hand, with answers known from the rules' text."""

import datetime
import ipaddress
import json
import pathlib
import random
import struct
import tempfile
import unittest

import numpy as np

import recount_report
from recount import clock, events, packets, periods
from recount.compare import Comparison
from recount.counts import Counts, Run, cell_text
from recount.figures import Figures, parse_peak, text_of
from recount.places import Places
from recount.pseudonyms import Aes, Pseudonyms
from recount.rules import Parser, Rules, evaluate

RULES = Rules([str(recount_report.SHIPPED)])
DARK = "198.51.100.0/24"
TARGET = "198.51.100.7"
START = int(datetime.datetime(2016, 9, 20, tzinfo=datetime.UTC).timestamp())
SYN, ACK, RST, FIN = 2, 16, 4, 1


def ipv4(source, target, protocol, payload, ident=1, fragment=0, total=None, options=b"", head=None):
    words = 5 + len(options) // 4
    total = 4 * words + len(payload) if total is None else total
    first = 0x40 | (words if head is None else head)
    header = struct.pack(">BBHHHBBH", first, 0, total, ident, fragment, 64, protocol, 0)
    for address in (source, target):
        header += ipaddress.IPv4Address(address).packed
    return header + options + payload


def ipv6(source, target, protocol, payload, said=None):
    said = len(payload) if said is None else said
    ends = [ipaddress.IPv6Address(address).packed for address in (source, target)]
    return struct.pack(">IHBB", 6 << 28, said, protocol, 64) + b"".join(ends) + payload


def ethernet(datagram, tags=()):
    kind = 0x86DD if datagram[0] >> 4 == 6 else 0x0800
    return bytes(12) + b"".join(struct.pack(">HH", *tag) for tag in tags) + struct.pack(">H", kind) + datagram


def tcp(source_port, port, flags, seq=1, window=1000, options=b"", offset=None):
    offset = 5 + len(options) // 4 if offset is None else offset
    return struct.pack(">HHIIBBHHH", source_port, port, seq, 0, offset << 4, flags, window, 0, 0) + options


def udp(source_port, port, payload=b"", said=None):
    return struct.pack(">HHHH", source_port, port, 8 + len(payload) if said is None else said, 0) + payload


def probe(source="203.0.113.9", target=TARGET, port=23, ident=1, **more):
    return ethernet(ipv4(source, target, 6, tcp(40000, port, SYN, **more), ident))


def pcap(frames, link=1):
    """Frames, or pairs of seconds after the start and a frame."""
    octets = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, link)
    for frame in frames:
        after, frame = frame if isinstance(frame, tuple) else (0, frame)
        micro = round(after * 1_000_000)
        octets += struct.pack("<IIII", START + micro // 1_000_000, micro % 1_000_000, len(frame), len(frame))
        octets += frame
    return octets


class Folder(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def file(self, name, content):
        path = pathlib.Path(self.folder.name) / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    def counts(self, frames, link=1, include=(DARK, "2001:db8::/64"), exclude=(), step=60, zone="UTC",
               country=None):
        path = self.file("capture.pcap", pcap(frames, link))
        country = Places(self.file("country.csv", country)) if country else None
        return Counts([Run("a", [path], include, exclude)], RULES, step, zone, country)

    def cells(self, frames, **more):
        counts, cells = self.counts(frames, **more), {}
        for cell, number in zip(counts.cell.tolist(), counts.packets.tolist()):
            name = cell_text(counts.cells[cell])
            cells[name] = cells.get(name, 0) + number
        return cells


class Cells(Folder):
    def cell(self, frame, **more):
        [(cell, number)] = self.cells([frame], **more).items()
        self.assertEqual(number, 1)
        return cell

    def of4(self, protocol, payload, **more):
        return self.cell(ethernet(ipv4("203.0.113.9", TARGET, protocol, payload, **more)))

    def test_tcp_by_flags(self):
        for flags, name, port in [
            (SYN, "scan", 23), (SYN | 8, "scan", 23), (SYN | ACK, "backscatter", 40000),
            (RST, "backscatter", 40000), (RST | ACK, "backscatter", 40000),
            (SYN | RST, "backscatter", 40000), (SYN | FIN, "other", 23), (ACK, "other", 23),
            (0, "other", 23), (FIN, "other", 23),
        ]:
            self.assertEqual(self.of4(6, tcp(40000, 23, flags)), ("tcp", name, port), flags)

    def test_cut_headers(self):
        whole = tcp(40000, 23, SYN)
        for length, cell in [
            (20, ("tcp", "scan", 23)), (14, ("tcp", "scan", 23)), (13, ("tcp", "other", 23)),
            (4, ("tcp", "other", 23)), (3, ("tcp", "other", None)), (0, ("tcp", "other", None)),
        ]:
            self.assertEqual(self.of4(6, whole[:length]), cell, length)
        self.assertEqual(self.of4(17, udp(1, 23)[:4]), ("udp", "scan", 23))
        self.assertEqual(self.of4(17, udp(1, 23)[:3]), ("udp", "scan", None))
        self.assertEqual(self.of4(1, b"\x08"), ("icmp", "scan", None))
        self.assertEqual(self.of4(1, b""), ("icmp", "other", None))

    def test_lengths_end_layer_4(self):
        frame = tcp(40000, 23, SYN)
        self.assertEqual(self.of4(6, frame, total=20 + 13), ("tcp", "other", 23))
        # Below the header's own length, 0 included, the frame's end counts.
        self.assertEqual(self.of4(6, frame, total=0), ("tcp", "scan", 23))
        self.assertEqual(self.of4(6, frame, total=19), ("tcp", "scan", 23))
        self.assertEqual(self.of4(6, frame, total=20), ("tcp", "other", None))

    def test_fragments_options_and_odd_headers(self):
        frame = tcp(40000, 23, SYN)
        self.assertEqual(self.of4(6, frame, fragment=0x2000), ("tcp", "scan", 23))
        self.assertEqual(self.of4(6, frame, fragment=0x0001), ("tcp", "other", None))
        self.assertEqual(self.of4(6, frame, options=bytes(8)), ("tcp", "scan", 23))
        self.assertEqual(self.of4(6, frame, head=4), ("tcp", "other", None))
        self.assertEqual(self.of4(47, bytes(8)), ("47", "other", None))
        self.assertEqual(self.of4(51, bytes(40)), ("51", "other", None))

    def test_icmp(self):
        for kind, name in [(0, "backscatter"), (3, "backscatter"), (8, "scan"), (13, "scan"), (9, "other")]:
            self.assertEqual(self.of4(1, bytes([kind, 1, 0, 0])), ("icmp", name, kind * 256 + 1))

    def test_udp_answers(self):
        answer, question = b"\0\1\x81\x80" + bytes(8), b"\0\1\1\0" + bytes(8)
        for payload, name, port in [(answer, "backscatter", 53), (question, "scan", 9)]:
            self.assertEqual(self.of4(17, udp(53, 9, payload)), ("udp", name, port))
        self.assertEqual(self.of4(17, udp(54, 9, answer)), ("udp", "scan", 9))
        # Two octets by UDP's own length: no answer. Twelve, of which two came: an answer.
        self.assertEqual(self.of4(17, udp(53, 9, b"\0\1")), ("udp", "scan", 9))
        self.assertEqual(self.of4(17, udp(53, 9, b"\0\1", said=20)), ("udp", "backscatter", 53))
        self.assertEqual(self.of4(17, udp(53, 9, answer, said=10)), ("udp", "scan", 9))
        self.assertEqual(self.of4(17, udp(1900, 9, b"HTTP/1.1 200")), ("udp", "backscatter", 1900))
        self.assertEqual(self.of4(17, udp(1900, 9, b"M-SEARCH *")), ("udp", "scan", 9))
        self.assertEqual(self.of4(17, udp(1900, 9, b"HT")), ("udp", "scan", 9))
        self.assertEqual(self.of4(17, udp(1900, 9, b"HT", said=30)), ("udp", "backscatter", 1900))
        self.assertEqual(self.of4(17, udp(1900, 9, b"M", said=30)), ("udp", "scan", 9))
        self.assertEqual(self.of4(17, udp(123, 9, b"\x24" + bytes(47))), ("udp", "backscatter", 123))
        self.assertEqual(self.of4(17, udp(123, 9, b"\x23" + bytes(47))), ("udp", "scan", 9))
        community = bytes([0x30, 40, 2, 1, 1, 4, 6]) + b"public"
        self.assertEqual(self.of4(17, udp(161, 9, community + b"\xa2")), ("udp", "backscatter", 161))
        self.assertEqual(self.of4(17, udp(161, 9, community + b"\xa1")), ("udp", "scan", 9))

    def test_ipv6(self):
        ends = "2001:db8:1::1", "2001:db8::2"
        of6 = lambda *more: self.cell(ethernet(ipv6(*ends, *more)))
        self.assertEqual(of6(6, tcp(40000, 23, SYN)), ("tcp", "scan", 23))
        self.assertEqual(of6(58, b"\x81\0"), ("icmpv6", "backscatter", 129 * 256))
        self.assertEqual(of6(58, b"\x80\0"), ("icmpv6", "scan", 128 * 256))
        self.assertEqual(of6(0, bytes([6, 0, 0, 0, 0, 0, 0, 0]) + tcp(40000, 23, SYN)), ("tcp", "scan", 23))
        self.assertEqual(of6(44, bytes([6, 0, 0, 8, 0, 0, 0, 0]) + tcp(40000, 23, SYN)), ("tcp", "other", None))
        self.assertEqual(of6(60, bytes([6, 9]) + bytes(8)), ("60", "other", None))
        self.assertEqual(of6(6, tcp(40000, 23, SYN), 0), ("tcp", "scan", 23))

    def test_links(self):
        datagram = ipv4("203.0.113.9", TARGET, 6, tcp(40000, 23, SYN))
        cell = ("tcp", "scan", 23)
        tag = (0x8100, 5)
        for count in range(1, 5):
            self.assertEqual(self.cell(ethernet(datagram, [tag] * count)), cell)
        self.assertEqual(self.cells([ethernet(datagram, [tag] * 5)]), {})
        self.assertEqual(self.cell(datagram, link=101), cell)
        self.assertEqual(self.cell(b"\2\0\0\0" + datagram, link=0), cell)
        self.assertEqual(self.cell(bytes(14) + b"\x08\0" + datagram, link=113), cell)
        self.assertEqual(self.cell(b"\x08\0" + bytes(18) + datagram, link=276), cell)
        self.assertEqual(self.cell(b"\x0f\0\x08\0" + datagram, link=104), cell)
        self.assertEqual(self.cell(b"\x8f\0\x08\0" + datagram, link=50), cell)
        for head in (b"\xff\x03\0\x21", b"\0\x21", b"\x21", b"\xff\3\2\x81\0\0\1\0"):
            self.assertEqual(self.cell(head + datagram, link=9), cell)
            self.assertEqual(self.cell(head + datagram, link=50), cell)
        self.assertEqual(self.cells([b"\xff\x03\xc0\x21" + datagram], link=9), {})
        self.assertEqual(self.cell(b"\x11\0\0\0\0\0\0\x21" + datagram, link=51), cell)
        for order in ("little", "big"):
            word = lambda number: number.to_bytes(2, order)
            log = b"\2\0\0\0" + word(6) + word(10) + b"nf\0\0" + word(44) + word(9)
            self.assertEqual(self.cell(log + datagram, link=239), cell)
        snap = b"\xaa\xaa\3\0\0\0\x08\0"
        for head in (b"\0\x30" + snap, b"\x81\0\0\5\0\x30" + snap, b"\x92\0\0\5\x08\0",
                     b"\x89\x26\0\0\0\1\x08\0", b"\x89\x3f\0\0\0\1\0\0\x08\0",
                     b"\x89\x88\0\0\0\1\x08\0", b"\x89\x88\0\0\0\1\0\0\x08\0"):
            self.assertEqual(self.cell(bytes(12) + head + datagram), cell)
        self.assertEqual(self.cell(bytes(14) + b"\0\4" + snap + datagram, link=113), cell)
        labels = bytes(12) + b"\x88\x47" + b"\0\0\0\0" + b"\0\0\1\0" + datagram
        self.assertEqual(self.cell(labels), cell)
        session = bytes(12) + b"\x88\x64\x11\0\0\0\0\0\0\x21" + datagram
        self.assertEqual(self.cell(session), cell)
        self.assertEqual(self.cells([bytes(12) + b"\x08\x06" + bytes(40)]), {})

    def test_what_is_dark(self):
        frames = [probe(target=target) for target in ("198.51.100.0", "198.51.100.255", "198.51.101.0",
                                                      "198.51.99.255", "198.51.100.65", "198.51.100.66")]
        counts = self.counts(frames, include=(DARK, "198.51.100.66/32"), exclude=("198.51.100.64/26",))
        # Of the excluded part, its one address that is included is dark again.
        self.assertEqual(int(counts.packets.sum()), 3)
        self.assertEqual(counts.accounts[counts.numbered[0]]["dark"], 3)
        darknet = packets.Darknet([DARK, "198.51.100.66/32"], ["198.51.100.64/26"])
        self.assertEqual(darknet.addresses, 256 - 64 + 1)

    def test_both_ways_to_read_a_frame_agree(self):
        dice = random.Random(5)
        frames = []
        for _ in range(400):
            protocol = dice.choice([1, 6, 17, 47])
            payload = dice.choice([
                tcp(dice.choice([53, 80, 40000]), 23, dice.randrange(256)),
                udp(dice.choice([53, 123, 161, 1900]), 9, dice.randbytes(dice.randrange(30)),
                    dice.choice([None, dice.randrange(40)])),
                dice.randbytes(dice.randrange(30)),
            ])
            frames.append(ethernet(ipv4(f"203.0.113.{dice.randrange(256)}", TARGET, protocol, payload,
                                        total=dice.choice([None, dice.randrange(80)]))))
        # A tag sends a frame the slow way.
        slow = [frame[:12] + b"\x81\0\0\1" + frame[12:] for frame in frames]
        cells = self.cells(frames)
        self.assertEqual(cells, self.cells(slow))
        self.assertGreater(len(cells), 10)


class Fingerprints(Folder):
    def matches(self, *frames):
        counts = self.counts(frames)
        return {name: int(table.hits.sum()) for (name, _), table in counts.hits.items() if len(table.hits)}

    def test_rules(self):
        target = int(ipaddress.IPv4Address(TARGET))
        self.assertEqual(self.matches(probe()), {})
        self.assertEqual(self.matches(probe(seq=target)), {"mirai": 1, "mirai-precursor": 1})
        # A data offset beyond the datagram's end hides options only.
        self.assertEqual(self.matches(probe(seq=target, offset=6)), {"mirai": 1, "mirai-precursor": 1})
        self.assertEqual(self.matches(probe(ident=54321)), {"zmap": 1})
        mark = (target ^ 23 ^ 77) & 0xFFFF
        self.assertEqual(self.matches(probe(ident=mark, seq=77)), {"masscan": 1})
        self.assertEqual(self.matches(probe(ident=mark, seq=77, window=1024)),
                         {"masscan": 1, "masscan-to-1.3.2": 1})
        size = bytes([2, 4, 5, 0xB4])
        self.assertEqual(self.matches(probe(ident=mark, seq=77, window=1025, options=size)),
                         {"masscan": 1, "masscan-from-2023-11": 1})
        self.assertEqual(self.matches(probe(ident=mark, seq=77, window=1025, options=b"\1\1\1\0")),
                         {"masscan": 1})
        self.assertEqual(self.matches(probe(window=1024, options=size)), {"nmap-syn": 1})
        self.assertEqual(self.matches(probe(window=65535, options=size)), {"zmap-4.1": 1})
        linux = size + bytes([4, 2, 8, 10, 9, 9, 9, 9, 0, 0, 0, 0, 1, 3, 3, 7])
        self.assertEqual(self.matches(probe(window=65535, options=linux)), {"zmap-4.1": 1})
        self.assertEqual(self.matches(probe(window=65535, options=linux[:-1] + b"\6")), {})

    def test_only_probes_over_ipv4(self):
        target = int(ipaddress.IPv4Address(TARGET))
        for flags in (SYN | ACK, RST, SYN | FIN, 0):
            frame = ethernet(ipv4("203.0.113.9", TARGET, 6, tcp(40000, 23, flags, target)))
            self.assertEqual(self.matches(frame), {})
        six = ethernet(ipv6("2001:db8:1::1", "2001:db8::2", 6, tcp(40000, 23, SYN)))
        self.assertEqual(self.matches(six), {})

    def test_expressions(self):
        class Fields:
            def field(self, name, rows):
                values = {"tcp.seq": 0x01020304, "ip.id": 6, "tcp.window": 0xFFFFFFFF}
                known = name in values
                return np.full(len(rows), values.get(name, 0), np.uint32), np.full(len(rows), known)

        def value(text):
            found, known = evaluate(Parser(text).tree, Fields(), np.zeros(1, int))
            return int(found[0]) if known[0] else None

        self.assertEqual(value("swap(tcp.seq)"), 0x04030201)
        self.assertEqual(value("tcp.window + 2"), 1)
        self.assertEqual(value("ip.id << 4 | 1 ^ 3 & 2"), 0x63)
        self.assertEqual(value("ip.id & 4 == 4"), 1)
        self.assertEqual(value("ip.id in (5, 6) and not ip.id in 7..=9"), 1)
        self.assertEqual(value("ip.id in 6..=7 or tcp.ack == 1"), 1)
        self.assertIsNone(value("ip.id == 6 and tcp.ack == 1"))
        self.assertEqual(value("ip.id == 5 and tcp.ack == 1"), 0)
        self.assertIsNone(value("not tcp.ack == 1"))
        with self.assertRaises(ValueError):
            Parser("ip.id ==")

    def confirmed(self, frames):
        counts = self.counts(frames, step=3600)
        counts.find_research(300_000, 30, [])
        return figures(counts, "2016-09-20", "2016-09-21").confirmed

    def test_three_matches_in_a_day_confirm(self):
        target = int(ipaddress.IPv4Address(TARGET))
        two = [(after, probe(seq=target, ident=ident)) for after, ident in ((0, 1), (9, 1))]
        self.assertEqual(self.confirmed(two), {})
        day = number("2016-09-20")
        source = int(ipaddress.IPv4Address("203.0.113.9"))
        three = self.confirmed([*two, (5000, probe(seq=target, port=2323))])
        self.assertNotIn("mirai", three)
        self.assertEqual(three["mirai-precursor"], {day: {source: 3}})
        changed = self.confirmed([*two, (5000, probe(seq=target, ident=2))])
        self.assertEqual(changed["mirai"], {day: {source: 3}})
        self.assertNotIn("mirai-precursor", changed)
        later = [(86_400, probe(seq=target)), (86_401, probe("203.0.113.10"))]
        self.assertEqual(self.confirmed([*two, *later]), {})

    def test_an_expression_alone_holds_over_all_probes(self):
        target = int(ipaddress.IPv4Address(TARGET))
        seq = lambda port: 0x1234 ^ target ^ (port << 16) + 40000
        mine = [(port, probe(seq=seq(port), port=port, ident=port)) for port in (22, 23, 24)]
        day = number("2016-09-20")
        source = int(ipaddress.IPv4Address("203.0.113.9"))
        self.assertEqual(self.confirmed(mine)["unicornscan"], {day: {source: 3}})
        self.assertNotIn("unicornscan", self.confirmed([*mine, (60, probe(seq=7, port=25))]))


def number(text):
    return datetime.date.fromisoformat(text).toordinal()


def figures(counts, begin, end, name="2016-09", **asked):
    about = {"period": {"name": name, "from": number(begin), "to": number(end)},
             "compare": {"name": "2016-08", "from": number("2016-08-01"), "to": number("2016-08-31")}}
    names = ("sensor", "port", "peak", "country_port", "region_port", "answer_port", "notify")
    return Figures(counts, about, {**{one: [] for one in names}, **asked}, ["nicter", "tsubame"])


class Clock(unittest.TestCase):
    def assign(self, seconds, step=60):
        judged = clock.judge(np.array(seconds, np.int64) * 1_000_000)
        own, moments, late, spans = clock.assign(*judged, step * 1_000_000)
        whole = {start // 1_000_000: (begin // 1_000_000, end // 1_000_000, partial)
                 for start, begin, end, partial in spans}
        return (own // 1_000_000).tolist(), late.tolist(), whole

    def test_two_intervals_are_open(self):
        own, late, _ = self.assign([10, 70, 59, 130, 59])
        self.assertEqual(own, [0, 60, 0, 120, 60])
        self.assertEqual(late, [False, False, False, False, True])

    def test_what_is_nonsense_counts_with_its_neighbours(self):
        self.assertEqual(self.assign([10, 99_999, 11, 99_999])[0], [0, 0, 0, 99_960])
        self.assertEqual(self.assign([10, 7210, 7205])[0], [0, 7200, 7200])
        self.assertEqual(self.assign([10, 9**9, 8**9, 70])[0], [0, 0, 0, 60])
        self.assertEqual(self.assign([9**9, 10, 70])[0], [0, 0, 60])
        self.assertEqual(self.assign([10, 20, 30, 70] + [9**9] * 3)[0], [0, 0, 0, 60, 60, 60, 60])
        self.assertEqual(self.assign([10, -70, 70])[0], [0, 0, 60])
        kinds = clock.judge(np.array([-1, -2, clock.END]))[1]
        self.assertEqual(kinds.tolist(), [clock.UNTIMED] * 3)

    def test_a_clock_that_is_set_is_followed(self):
        day, seconds = 86_400, list(range(20))
        for step in (-day, -3600, 3 * day, 900 * day):
            times = [1000 * day + second for second in seconds]
            times += [time + 20 + step for time in times]
            own, late, _ = self.assign(times)
            self.assertEqual(own, [time // 60 * 60 for time in times])
            self.assertFalse(any(late))

    def test_gaps(self):
        spans = self.assign([10, 200, 210])[2]
        self.assertEqual(spans, {0: (10, 60, True), 60: (60, 120, False), 120: (120, 180, False),
                                 180: (180, 210, True)})
        spans = self.assign([10, 9000, 9100, 9130])[2]
        self.assertEqual(spans, {0: (10, 10, True), 9000: (9000, 9060, False), 9060: (9060, 9120, False),
                                 9120: (9120, 9130, True)})
        spans = self.assign([10, 9001, 9100, 9130])[2]
        self.assertEqual(spans[9000], (9001, 9060, True))
        spans = self.assign([10, 1800, 5460, 7000], 3600)[2]
        self.assertEqual(spans, {0: (10, 1800, True), 3600: (5460, 7000, True)})

    def test_the_parts_of_a_long_capture_make_no_difference(self):
        dice = random.Random(3)
        times, time = [], 10**15
        for _ in range(3000):
            time += dice.randrange(3 * clock.SECOND)
            times.append(dice.choice([time] * 30 + [dice.randrange(clock.END), time - 10**8]))
        times = np.array(times, np.int64)
        whole = clock.judge(times)
        try:
            chunk, clock.CHUNK = clock.CHUNK, 7
            parts = clock.judge(times)
        finally:
            clock.CHUNK = chunk
        for one, other in zip(whole, parts):
            self.assertEqual(one.tolist(), other.tolist())


class Judging(unittest.TestCase):
    def judge(self, values, first=17_000):
        found, unjudged = events.judge(list(range(first, first + len(values))), values)
        return [(event.direction, event.days) for event in found], unjudged

    def test_the_limit_itself_is_not_above(self):
        # Median 1000, median distance 10: 6 * max(14.8, 100, 31.6, 10) above.
        usual = [(990, 1000, 1010)[day % 3] for day in range(30)]
        found, unjudged = self.judge([*usual, 1600, 1601, 1000, 5000, 1000])
        self.assertEqual(found, [("rise", [31, 33])])
        self.assertEqual(unjudged, list(range(14)))

    def test_gaps_of_three_days_join(self):
        self.assertEqual(self.judge([100] * 20 + [900, 100, 100, 100, 900])[0], [("rise", [20, 24])])
        self.assertEqual(self.judge([100] * 20 + [900, 100, 100, 100, 100, 900])[0],
                         [("rise", [20]), ("rise", [25])])

    def test_falls(self):
        # Median 1000: 6 * max(0, 50, 31.6, 10) below is 700.
        self.assertEqual(self.judge([1000] * 20 + [700])[0], [])
        self.assertEqual(self.judge([1000] * 20 + [699])[0], [("fall", [20])])
        self.assertEqual(self.judge([499] * 20 + [0])[0], [])

    def test_what_lasts_becomes_usual(self):
        found, _ = self.judge([100] * 28 + [900] * 40)
        self.assertEqual(found, [("rise", list(range(28, 56)))])

    def test_baselines_reach_56_days(self):
        days = [*range(100, 114), 170]
        self.assertEqual(events.judge(days, [1] * 14 + [900])[0], [])
        days = [*range(100, 114), 156]
        found, _ = events.judge(days, [1] * 14 + [900])
        self.assertEqual([event.days for event in found], [[14]])

    def test_new_rules(self):
        days = list(range(20))
        self.assertEqual(events.first_of_rule(days, [0] * 19 + [5], 15), (19, 0.0))
        self.assertEqual(events.first_of_rule(days, [0] * 10 + [5] + [0] * 8 + [5], 15), None)
        self.assertEqual(events.first_of_rule(days[:10], [0] * 9 + [5], 5), None)


class Tables(Folder):
    COUNTRIES = "203.0.113.0,203.0.113.127,JP\n203.0.113.128,203.0.113.199,BR\n"

    def make(self, **asked):
        def many(source, count, port, after=0, target=TARGET):
            return [(after + place, probe(source, target, port)) for place in range(count)]

        frames = many("203.0.113.1", 5, 23) + many("203.0.113.1", 2, 2323, 20)
        frames += many("203.0.113.130", 4, 23, 40) + many("203.0.113.250", 1, 2323, 60)
        frames += [(80, ethernet(ipv4("203.0.113.130", TARGET, 6, tcp(23, 999, SYN | ACK))))]
        frames += [(90, ethernet(ipv4("203.0.113.2", TARGET, 47, b"")))]
        frames += [(91, ethernet(ipv4("203.0.113.2", TARGET, 1, b"\x08\0\0\0")))]
        answer = udp(53, 999, b"\0\1\x81\x80" + bytes(8))
        frames += [(92 + place, ethernet(ipv4(source, TARGET, 17, answer)))
                   for place, source in enumerate(["203.0.113.3", "203.0.113.3", "203.0.113.131"])]
        frames += [(after, probe("203.0.113.5", port=80)) for after in range(1000, 200_000, 1000)]
        counts = self.counts(frames, country=self.COUNTRIES, step=3600, zone="Asia/Tokyo")
        networks = [
            ("203.0.113.128/29", "Example"), ("203.0.113.130/32", ""), ("203.0.113.2/32", "Later"),
        ]
        networks = [(ipaddress.ip_network(network), name) for network, name in networks]
        lists = [(None, None, networks[:2]), (number("2016-09-23"), None, networks[2:])]
        counts.find_research(300_000, 30, lists)
        made = figures(counts, "2016-09-20", "2016-09-22", **asked)
        return made, {table["id"]: table["rows"] for tables in made.sections.values() for table in tables}

    def test_sources_of_a_union_count_once(self):
        _, tables = self.make(peak=["2016-09-20=23,2323/tcp"])
        self.assertEqual(tables["n6-countries-1"], [
            [1, "??", 1, 100 / 3], [2, "BR", 1, 100 / 3], [3, "JP", 1, 100 / 3], [None, "rest", 0, 0.0],
            [None, "all", 3, 100.0],
        ])
        self.assertEqual(tables["n6-countries-1-without-research"][1], [2, "JP", 1, 50.0])
        self.assertEqual([row[1] for row in tables["n7-days-br-23-tcp"]], [1, 0, 0])
        self.assertEqual([row[1] for row in tables["n7-days-br-23-tcp-without-research"]], [0, 0, 0])

    def test_ports_and_the_rest_add_up(self):
        _, tables = self.make()
        rows = tables["n4-ports"]
        self.assertEqual([row[:3] for row in rows], [
            [1, "80/tcp", 199], [2, "23/tcp", 9], [3, "2323/tcp", 3], [4, "8/0/icmp", 1],
            [None, "rest", 0], [None, "backscatter", 4], [None, "no-port", 1],
        ])
        self.assertAlmostEqual(sum(row[3] for row in rows), 100)
        # 15:00 UTC is midnight in Tokyo: 53 and 86 of 199 a thousand seconds apart, then the others.
        self.assertEqual([row[1:] for row in tables["n2-days"]], [
            [53 + 13, 3, 1, 1, 71], [87, 0, 0, 0, 87], [59, 0, 0, 0, 59],
        ])
        self.assertEqual([row[1:] for row in tables["n3-days"]], [[4], [1], [1]])
        self.assertEqual([row[1:] for row in tables["n3-days-without-research"]], [[3], [1], [1]])

    def test_answers_and_research(self):
        _, tables = self.make()
        self.assertEqual(tables["t6-countries-53-udp"], [
            [1, "JP", 1, 2, 200 / 3], [2, "BR", 1, 1, 100 / 3], [None, "rest", 0, 0, 0.0],
            [None, "all", 2, 3, 100.0],
        ])
        self.assertEqual(tables["n9-sources"], [
            ["203.0.113.130", "BR", None, 1, 5, 1, "yes", "Example"],
            ["203.0.113.131", "BR", None, 1, 1, 0, "yes", "Example"],
        ])
        self.assertEqual(tables["n9-names"], [["Example", "yes", 1, 2, 6, 600 / 217]])
        self.assertEqual(tables["n9-summary"][0], ["packets", 217.0, 211.0, 6.0, 600 / 217])

    def test_days_and_hours(self):
        made, tables = self.make()
        days = tables["c1-days"]
        # From the first packet at 9 in the morning to midnight; a whole day; to the last packet.
        self.assertEqual([row[3] for row in days], [15, 24, 17])
        self.assertEqual([row[4] for row in days], [9, 0, 7])
        self.assertEqual([row[2] for row in days], [62.5, 100.0, 100 * (199_000 - 54_000 - 86_400) / 86_400])
        self.assertEqual(made.incomplete, ["2016-09-20", "2016-09-22"])
        self.assertEqual([note[0] for note in made.notes["c1"]], ["outage", "outage"])

    def test_notified_sources(self):
        # The same packet four times keeps every expression; one to another port does not.
        _, tables = self.make(notify=["23/tcp"])
        self.assertEqual(tables["t7-sources-23-tcp"], [
            [None, "BR", "203.0.113.130", "2016-09-20T00:00:40.000Z", "2016-09-20T00:00:43.000Z", 40000, 4,
             "unicornscan"],
            [None, "JP", "203.0.113.1", "2016-09-20T00:00:00.000Z", "2016-09-20T00:00:04.000Z", 40000, 5, None],
        ])

    def test_comparison_finds_each_change(self):
        made, _ = self.make(peak=["2016-09-20=23,2323/tcp"])
        report = as_report(made)
        lines = []
        comparison = Comparison(lines.append)
        comparison.report(report, made)
        self.assertEqual((comparison.end(), comparison.differences), (0, 0))
        self.assertIn("n4-ports: 7 rows equal", lines)
        places = [(section, table, row, column)
                  for section, of in enumerate(report["sections"])
                  for table, rows in enumerate(of["tables"])
                  for row, cells in enumerate(rows["rows"]) for column in range(len(cells))]
        for section, table, row, column in random.Random(1).sample(places, 60):
            changed = json.loads(json.dumps(report))
            cells = changed["sections"][section]["tables"][table]["rows"][row]
            cell = cells[column]
            cells[column] = cell + 1 if isinstance(cell, int) else (
                cell * (1 + 1e-8) + 1e-8 if isinstance(cell, float) else 7)
            comparison = Comparison(lambda line: None)
            comparison.report(changed, made)
            self.assertEqual(comparison.differences, 1, (section, table, row, column))
        for change in (lambda changed: changed["sections"].pop(3),
                       lambda changed: changed["about"]["sensors"].append("b"),
                       lambda changed: changed["about"]["compare"].update(to="2016-08-30"),
                       lambda changed: changed["sections"][2]["tables"].pop(),
                       lambda changed: changed["sections"][2]["tables"].append(
                           {**changed["sections"][2]["tables"][0], "id": "unknown"}),
                       lambda changed: changed["sections"][4]["tables"][0]["rows"].pop(),
                       lambda changed: changed["sections"][0]["notes"].pop()):
            changed = json.loads(json.dumps(report))
            change(changed)
            comparison = Comparison(lambda line: None)
            comparison.report(changed, made)
            self.assertGreater(comparison.differences, 0)


def as_report(made):
    """The figures as `report.json` has them."""
    value = lambda kind, content: {"kind": kind, "value": content}
    remark = lambda note: {
        "id": note[0], "warning": note[1],
        "args": {key: value("time" if key in ("from", "to") else "text", of) for key, of in note[2].items()},
    }
    sections = []
    for name, tables in made.sections.items():
        sections.append({"id": name, "notes": [remark(note) for note in made.notes[name]], "tables": [{
            "id": table["id"], "kind": table["kind"], "population": table["population"],
            "args": {key: value("text", of) for key, of in table["args"].items()},
            "columns": [{"id": one, "kind": kind, "name": title and value(*title)}
                        for one, kind, title in table["columns"]],
            "rows": table["rows"], "notes": [remark(note) for note in table["notes"]],
            "plots": [] if table["marked"] is None else [
                {"x": table["columns"][0][0], "y": [], "incomplete": table["marked"]}],
        } for table in tables]})
    about = {key: {**days, **{end: text_of(days[end]) for end in ("from", "to")}}
             for key, days in made.about.items()}
    about["sensors"] = made.sensors
    return json.loads(json.dumps({"about": about, "sections": sections}))


class Others(Folder):
    def test_places(self):
        places = Places(self.file("a.csv", "start,end,code\n1.0.0.0,1.0.0.255,JP\n16843264,16843264,ZZ\n"
                                           "2001:db8::,2001:db8::ffff,FR\n"))
        sources = packets.Sources()
        six = [sources.number6(ipaddress.ip_address(text).packed)
               for text in ("2001:db8::5", "2002:100:5::1", "::ffff:1.0.0.9", "2001:db9::")]
        numbers = np.array([0x01000000, 0x010000FF, 0x01000100, 0x00FFFFFF, 16843264, *six])
        names = [places.values[at] if at >= 0 else "??" for at in places.find(sources, numbers).tolist()]
        self.assertEqual(names, ["JP", "JP", "??", "??", "??", "FR", "JP", "JP", "??"])
        numbers = Places(self.file("b.csv", "1.0.0.0,1.0.0.255,AS64496\n2.0.0.0,2.0.0.1,0\n"), number=True)
        self.assertEqual(numbers.values, [64496])

    def test_periods(self):
        days = lambda name: tuple(text_of(day) for day in periods.ends_of(name))
        self.assertEqual(days("2016"), ("2016-01-01", "2016-12-31"))
        self.assertEqual(days("2016-Q4"), ("2016-10-01", "2016-12-31"))
        self.assertEqual(days("2016-02"), ("2016-02-01", "2016-02-29"))
        self.assertEqual(days("2016-09-20"), ("2016-09-20", "2016-09-20"))
        for name, before in [("2016", "2015"), ("2016-Q1", "2015-Q4"), ("2016-Q3", "2016-Q2"),
                             ("2016-01", "2015-12"), ("2016-03-01", "2016-02-29")]:
            self.assertEqual(periods.before(name), before)
        now = periods.about_of("2999", "2016", "Asia/Tokyo")
        self.assertLess(now["period"]["to"], now["period"]["from"])
        self.assertEqual(text_of(now["compare"]["to"]), "2016-12-31")

    def test_peaks(self):
        day, ports = parse_peak("2016-09-20=23,2323/tcp")
        self.assertEqual((text_of(day), [port.text for port in ports]), ("2016-09-20", ["23/tcp", "2323/tcp"]))

    def test_aes_and_pseudonyms(self):
        # FIPS 197, appendix C.1; the sample of the Crypto-PAn distribution.
        block = bytes.fromhex("00112233445566778899aabbccddeeff")
        self.assertEqual(Aes(bytes(range(16))).encipher(block).hex(), "69c4e0d86a7b0430d8cdb78070b4c55a")
        key = bytes([21, 34, 23, 141, 51, 164, 207, 128, 19, 10, 91, 22, 73, 144, 125, 16, 216, 152, 143, 131,
                     121, 121, 101, 39, 98, 87, 76, 45, 42, 132, 34, 2])
        for pseudonyms in (Pseudonyms(key), Pseudonyms(key.hex().encode() + b"\n")):
            for address, pseudonym in [("128.11.68.132", "135.242.180.132"), ("129.118.74.4", "134.136.186.123"),
                                       ("130.132.252.244", "133.68.164.234")]:
                self.assertEqual(str(pseudonyms.of(ipaddress.ip_address(address))), pseudonym)

    def test_days_in_which_clocks_change(self):
        counts = self.counts([probe()], zone="Europe/Berlin", step=3600)
        lengths = [counts.length_ms(number(day)) // 3_600_000
                   for day in ("2016-03-27", "2016-09-20", "2016-10-30")]
        self.assertEqual(lengths, [23, 24, 25])

    def test_files_are_merged_by_time(self):
        paths = [self.file(name, pcap([(after, probe(port=port)) for after in times]))
                 for name, times, port in (("a", (0, 7000), 1), ("b", (3500, 7100), 2))]
        run = Run("a", paths, [DARK], [])
        counts = Counts([run], RULES, 3600, "UTC")
        self.assertEqual(int(counts.packets.sum()), 4)
        self.assertEqual(counts.accounts[counts.numbered[0]]["observed_ms"], 7_100_000)
        self.assertEqual(len(counts.accounts[counts.numbered[0]]["intervals"]), 2)


if __name__ == "__main__":
    unittest.main()
