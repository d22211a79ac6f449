"""Made-up personal values, recognisable so that a search can prove none of them was stored.

Addresses come from the documentation ranges of RFC 5737, mail domains from RFC 2606. The network
names carry a marker that no other text of the system holds.
"""

from typing import Final

_MARKER: Final = "Zq7xSimNet"
_NAMES: Final = ("ada", "bela", "cyan", "dora", "emil", "fenja", "goran", "hilda", "ivo", "juno")
_DOMAINS: Final = ("mail.example.org", "phones.example.org", "watch.invalid")
_NETWORKS: Final = ("192.0.2", "198.51.100", "203.0.113")
_PLACES: Final = ("Harbour", "Attic", "Kitchen", "Office", "Guest", "Library", "Garage", "Cafe")

WIFI_NAMES: Final[tuple[str, ...]] = tuple(
    f"{_MARKER} {place} {number}" for place in _PLACES for number in range(1, 6)
)
IP_ADDRESSES: Final[tuple[str, ...]] = tuple(
    f"{network}.{host}" for network in _NETWORKS for host in range(101, 141)
)
EMAILS: Final[tuple[str, ...]] = tuple(
    f"{name}.zq7x{number}@{domain}"
    for name in _NAMES
    for number in range(10, 14)
    for domain in _DOMAINS
)

PLAIN_VALUES: Final[frozenset[str]] = frozenset(WIFI_NAMES + IP_ADDRESSES + EMAILS)
"""Every personal value a simulated device may send. None may be found in storage or in a log."""

MARKERS: Final[tuple[str, ...]] = (_MARKER, ".zq7x", *(f"{network}." for network in _NETWORKS))
"""Short texts of which every plain value holds one: a search looks for these first."""
