"""Seeded randomness: the one place where a random generator is made."""

import random
import uuid


def seeded(*parts: object) -> random.Random:
    """Return a generator that depends on nothing but the given parts (not on the hash seed)."""
    return random.Random("/".join(str(part) for part in parts))  # noqa: S311 - not for secrets


def random_uuid(rng: random.Random) -> str:
    """Return a version 4 UUID drawn from ``rng``, so that it repeats with the seed."""
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))
