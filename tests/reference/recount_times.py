"""Prints in which intervals the records of captures count: recount_times.py SECONDS CAPTURE...

A line for each interval: its start (seconds since 1970), records, late ones, time jumps; then the number
of untimed records.
"""

import collections
import struct
import sys

import numpy as np

from recount import clock


def times(path):
    """Microseconds since 1970 of a pcap capture, or of a pcapng one of one interface without options."""
    with open(path, "rb") as file:
        octets = file.read()
    found, at = [], 24
    if octets[:4] == b"\x0a\x0d\x0d\x0a":
        at = 0
        while at < len(octets):
            kind, length = struct.unpack_from("<II", octets, at)
            if kind == 6:
                high, low = struct.unpack_from("<II", octets, at + 12)
                found.append(min(high << 32 | low, (1 << 63) - 1))
            at += length
    else:
        while at < len(octets):
            second, micro, length, _ = struct.unpack_from("<IIII", octets, at)
            found.append(second * 1_000_000 + micro)
            at += 16 + length
    return np.array(found, np.int64)


def main(seconds, paths):
    moments, kinds, keys = [], [], []
    for path in paths:
        counted, kind = clock.judge(times(path))
        timed = kind != clock.UNTIMED
        moments.append(counted[timed])
        kinds.append(kind[timed])
        keys.append(np.maximum.accumulate(moments[-1]))
        print("untimed", int((~timed).sum()))
    order = np.argsort(np.concatenate(keys), kind="stable")
    moments, kinds = np.concatenate(moments)[order], np.concatenate(kinds)[order]
    own, _, late, _ = clock.assign(moments, kinds, seconds * 1_000_000)
    rows = collections.defaultdict(lambda: [0, 0, 0])
    for start, is_late, kind in zip(own.tolist(), late.tolist(), kinds.tolist()):
        row = rows[start // 1_000_000]
        row[0] += 1
        row[1] += is_late
        row[2] += kind == clock.JUMP
    for start, row in sorted(rows.items()):
        print(start, *row)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
