"""Crypto-PAn: pseudonyms that keep common prefixes (Xu, Fan, Ammar, Moon 2002), with an AES of its own.

The first 16 octets of the key are AES's, the others are enciphered and pad the address.
"""

import ipaddress


def tables():
    """AES's substitution, worked out as FIPS 197 says: inverse in GF(2^8), then an affine map."""
    powers, logarithms, value = [0] * 256, [0] * 256, 1
    for exponent in range(255):
        powers[exponent], logarithms[value] = value, exponent
        # Three is a generator.
        value ^= (value << 1) ^ (0x11B if value & 0x80 else 0)
    substitutes = []
    for octet in range(256):
        inverse = 0 if octet == 0 else powers[(255 - logarithms[octet]) % 255]
        rotated = inverse
        mapped = inverse
        for _ in range(4):
            rotated = (rotated << 1 | rotated >> 7) & 0xFF
            mapped ^= rotated
        substitutes.append(mapped ^ 0x63)
    return substitutes


SUBSTITUTES = tables()


def double(octet):
    return (octet << 1 ^ 0x1B) & 0xFF if octet & 0x80 else octet << 1


class Aes:
    """AES with 128 bits, enciphering only."""

    def __init__(self, key):
        words, constant = [list(key[at : at + 4]) for at in range(0, 16, 4)], 1
        for number in range(4, 44):
            word = list(words[-1])
            if number % 4 == 0:
                word = [SUBSTITUTES[octet] for octet in word[1:] + word[:1]]
                word[0] ^= constant
                constant = double(constant)
            words.append([one ^ other for one, other in zip(word, words[number - 4])])
        self.keys = [sum(words[at : at + 4], []) for at in range(0, 44, 4)]

    def encipher(self, block):
        state = [one ^ other for one, other in zip(block, self.keys[0])]
        for number in range(1, 11):
            state = [SUBSTITUTES[octet] for octet in state]
            state = [state[(at + 4 * (at % 4)) % 16] for at in range(16)]
            if number < 10:
                state = sum((self.mixed(state[at : at + 4]) for at in range(0, 16, 4)), [])
            state = [one ^ other for one, other in zip(state, self.keys[number])]
        return bytes(state)

    @staticmethod
    def mixed(column):
        every = column[0] ^ column[1] ^ column[2] ^ column[3]
        return [column[at] ^ every ^ double(column[at] ^ column[(at + 1) % 4]) for at in range(4)]


class Pseudonyms:
    """Pseudonyms under a key of 32 octets, or of 64 hexadecimal digits."""

    def __init__(self, key):
        if len(key) != 32:
            key = bytes.fromhex(key.decode().strip())
        self.aes, self.known = Aes(key[:16]), {}
        self.pad = self.aes.encipher(key[16:])

    def of(self, address):
        """Each bit is flipped by what enciphering the bits before it gives."""
        bits = address.max_prefixlen
        value, flips = int(address), 0
        for place in range(bits):
            flips = flips << 1 | self.flip(value >> bits - place, place)
        return ipaddress.ip_address((value ^ flips).to_bytes(bits // 8, "big"))

    def flip(self, prefix, length):
        if (prefix, length) not in self.known:
            pad = int.from_bytes(self.pad, "big")
            rest = pad & (1 << 128 - length) - 1
            block = (prefix << 128 - length | rest).to_bytes(16, "big")
            self.known[prefix, length] = self.aes.encipher(block)[0] >> 7
        return self.known[prefix, length]
