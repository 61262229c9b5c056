"""Prints the value that a geo file has for each address: recount_places.py country|asn FILE ADDRESS..."""

import ipaddress
import sys

import numpy as np

from recount.places import Places

kind, path, *texts = sys.argv[1:]
places = Places(path, number=kind == "asn")
for text in texts:
    address = ipaddress.ip_address(text)
    if address.version == 4:
        place = int(places.find4(np.array([int(address)]))[0])
    else:
        place = places.find6(address)
    print(places.values[place] if place >= 0 else "??")
