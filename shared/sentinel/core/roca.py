"""RSA keys of a chip that chose its primes badly, and whose private keys can be worked out (CVE-2017-15361).

Their primes are of the form k·M + 65537^a mod M, M a product of small primes, so modulo each of those the
modulus is a power of 65537 as well: for a key of any other origin that holds by chance once in 2^27 or less.
"""

from __future__ import annotations

from itertools import accumulate, repeat

# Small primes whose product divides M for keys of every size; 3, 5, 7... where 65537 generates everything
# say nothing and cost nothing.
_PRIMES = (11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157)


def _powers(prime: int) -> frozenset[int]:
    """Return the powers of 65537 modulo a prime.

    >>> sorted(_powers(11))
    [1, 10]
    """
    return frozenset(accumulate(repeat(65537, prime), lambda power, base: power * base % prime, initial=1))


_MARKS = tuple((prime, _powers(prime)) for prime in _PRIMES)


def is_roca(modulus: int) -> bool:
    """Say whether a modulus has the fingerprint.

    >>> is_roca(65537 * 65537), is_roca(3 * 5)
    (True, False)
    """
    return all(modulus % prime in powers for prime, powers in _MARKS)
