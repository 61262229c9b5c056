"""Countries and AS numbers by address, from the texts that their publishers write."""

import bisect
import csv
import gzip
import ipaddress
import re

import numpy as np

UNKNOWN = {"", "-", "--", "?", "??", "\\N", "ZZ", "XX", "NONE", "NULL", "N/A", "UNKNOWN"}
CONTINENTS = {"AF", "AN", "AS", "EU", "NA", "OC", "SA"}
COUNTRY_COLUMNS = ["country_code", "country_iso_code", "iso_code", "countrycode", "country_short", "cc", "country"]
AS_COLUMNS = ["asn", "as_number", "autonomous_system_number", "as_num", "origin_as", "as", "number"]
START_COLUMNS = ["start_ip", "start", "ip_from", "range_start", "first_ip", "from"]
END_COLUMNS = ["end_ip", "end", "ip_to", "range_end", "last_ip", "to"]
NETWORK_COLUMNS = ["network", "cidr", "prefix", "ip_prefix", "subnet", "net", "range"]
WIDTH = {4: 32, 6: 128}


def country_of(text):
    """A country code, None if there is none; names and numbers are none."""
    text = text.upper()
    return text if re.fullmatch("[A-Z]{2}", text) and text not in UNKNOWN else None


def number_of(text):
    """An AS number; of several, the first."""
    if text.upper() in UNKNOWN:
        return None
    found = re.match(r"\{?(?:ASN?)?(\d+)(?:\.(\d+))?(?=$|[_,}\s])", text, re.IGNORECASE)
    if not found:
        return None
    high, low = int(found[1]), found[2]
    number = high if low is None else high * 65536 + int(low)
    return number if 0 < number < 1 << 32 else None


def ends_of(first, last):
    """Family and ends of a range, from two addresses as text or decimals."""
    decimal = [text.isdigit() for text in (first, last)]
    parsed = [int(text) if is_decimal else int(ipaddress.ip_address(text))
              for text, is_decimal in zip((first, last), decimal)]
    if all(decimal):
        family = 6 if max(parsed) >> 32 else 4
    else:
        families = {ipaddress.ip_address(text).version
                    for text, is_decimal in zip((first, last), decimal) if not is_decimal}
        if len(families) != 1:
            raise ValueError(f"{first} and {last} are of two families")
        family = families.pop()
    if parsed[0] > parsed[1]:
        raise ValueError(f"{last} is before {first}")
    return mapped(family, *parsed)


def mapped(family, low, high):
    if family == 6 and low >> 32 == high >> 32 == 0xFFFF:
        return 4, low & 0xFFFFFFFF, high & 0xFFFFFFFF
    return family, low, high


def network_of(text):
    """Family and ends of a prefix, whatever bits are set after its length."""
    net = ipaddress.ip_network(text, strict=False)
    return mapped(net.version, int(net.network_address), int(net.broadcast_address))


def is_address(text):
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return text.isdigit()
    return True


class Lines:
    """The fields of a text's lines, and which of them are range and value."""

    def __init__(self, path, number):
        self.names = AS_COLUMNS if number else COUNTRY_COLUMNS
        self.value_of = number_of if number else country_of
        with open(path, "rb") as file:
            octets = file.read()
        if octets[:2] == b"\x1f\x8b":
            octets = gzip.decompress(octets)
        text = octets.decode("utf-8-sig", "replace")
        lines = [line.strip() for line in text.splitlines()]
        lines = [line for line in lines if line and not line.startswith("#")]
        self.rows = [self.split(line) for line in lines]
        self.take, self.place = None, None
        if self.rows and not any(is_address(field) or "/" in field for field in self.rows[0]):
            header, *self.rows = self.rows
            self.by_header([name.lower().replace(" ", "_") for name in header], header)
        if self.rows:
            self.by_content()

    @staticmethod
    def split(line):
        for mark in "\t;,|":
            if mark in line:
                fields = next(csv.reader([line], delimiter=mark, skipinitialspace=True))
                return [field.strip().strip('"').strip() for field in fields]
        return line.split()

    def by_header(self, names, header):
        self.rows = [row for row in self.rows if row != header]
        at = lambda known: next((names.index(name) for name in known if name in names), None)
        start, end, network, self.place = map(at, (START_COLUMNS, END_COLUMNS, NETWORK_COLUMNS, self.names))
        if start is not None and end is not None:
            self.take = lambda row: ends_of(row[start], row[end])
            behind = max(start, end) + 1
        elif network is not None:
            self.take = lambda row: network_of(row[network])
            behind = network + 1
        else:
            return
        if self.place is None and behind + 1 == len(names):
            self.place = behind

    def by_content(self):
        first = self.rows[0]
        if self.take is None:
            if "/" in first[0] or len(first) == 2:
                self.take, behind = lambda row: network_of(row[0]), 1
            elif "." in first[0] + first[1] and first[1].isdigit() and int(first[1]) <= 32 or (
                ":" in first[0] and first[1].isdigit() and int(first[1]) <= 128
            ):
                self.take, behind = lambda row: network_of(f"{row[0]}/{row[1]}"), 2
            else:
                self.take, behind = lambda row: ends_of(row[0], row[1]), 2
            if self.place is None:
                self.place = self.skipped(behind)

    def skipped(self, at):
        """The value's place: behind fields that repeat the range, and for a country behind AS or continent."""
        rows = self.rows[:1000]
        field = lambda row, place: row[place] if place < len(row) else ""
        again = lambda row: is_address(field(row, at)) and is_address(field(row, at + 1))
        if all(again(row) and ends_of(row[at], row[at + 1]) == self.take(row) for row in rows):
            at += 2
        elif all("/" in field(row, at) for row in rows):
            at += 1
        if self.value_of is country_of:
            before = all(field(row, at).isdigit() or field(row, at) in CONTINENTS for row in rows)
            after = [field(row, at + 1) for row in rows]
            usual = sum(bool(country_of(text)) or text.upper() in UNKNOWN for text in after)
            if before and 2 * usual >= len(rows) and any(map(country_of, after)):
                at += 1
        return at

    def entries(self):
        """Family, ends and value of every line, the widest first."""
        found = [(*self.take(row), self.value_of(row[self.place])) for row in self.rows]
        found.sort(key=lambda entry: entry[1] - entry[2])
        return found


class Places:
    """Values by ranges of addresses; the narrowest range that holds an address decides."""

    def __init__(self, path, number=False):
        entries = Lines(path, number).entries()
        self.values = sorted({entry[3] for entry in entries} - {None})
        index = {value: place for place, value in enumerate(self.values)} | {None: -1}
        bounds4, places4 = self.painted([entry[1:] for entry in entries if entry[0] == 4], index)
        self.bounds4, self.places4 = np.array(bounds4, np.int64), np.array(places4, np.int64)
        self.bounds6, self.places6 = self.painted([entry[1:] for entry in entries if entry[0] == 6], index)

    @staticmethod
    def painted(entries, index):
        """Bounds, and the place of the value from each one on."""
        bounds = sorted({0} | {bound for low, high, _ in entries for bound in (low, high + 1)})
        places = [-1] * len(bounds)
        for low, high, value in entries:
            begin, end = bisect.bisect_left(bounds, low), bisect.bisect_left(bounds, high + 1)
            places[begin:end] = [index[value]] * (end - begin)
        return bounds, places

    def find4(self, addresses):
        at = np.searchsorted(self.bounds4, addresses, "right") - 1
        return self.places4[at]

    def find6(self, address):
        address = int(address)
        place = self.places6[bisect.bisect_right(self.bounds6, address) - 1]
        if place >= 0:
            return place
        # Mapped and 6to4 addresses contain an IPv4 address.
        if address >> 32 == 0xFFFF:
            return int(self.find4(np.array([address & 0xFFFFFFFF]))[0])
        if address >> 112 == 0x2002:
            return int(self.find4(np.array([address >> 80 & 0xFFFFFFFF]))[0])
        return -1

    def find(self, sources, numbers):
        """Places in `values` of sources by their numbers; -1 unknown."""
        found = np.full(len(numbers), -1, np.int64)
        four = numbers < 1 << 32
        found[four] = self.find4(numbers[four])
        for row in np.flatnonzero(~four).tolist():
            found[row] = self.find6(sources.address(numbers[row]))
        return found
