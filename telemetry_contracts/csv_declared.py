"""What a YAML file beside a CSV file says of it: `readings.csv.yaml` speaks for `readings.csv`.

Only what the file itself cannot tell belongs here; what a column means is the contract's.
"""

from __future__ import annotations

import codecs
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from telemetry_contracts.csv_encoding import UnreadableFile

SIDECAR_SUFFIX = ".yaml"


class Declared(BaseModel):
    """How a CSV file is written, as far as somebody said so.

    Attributes:
        source: The source whose contract it follows.
        encoding: Any of Python's names of text encodings.
        delimiter: What stands between two values.
        decimal: What stands before a fraction.
        columns: The names of the columns, in order, of a file without a header line.
        rename: Names of the file's header, and what the contract calls them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str | None = None
    encoding: str | None = None
    delimiter: Literal[",", ";", "\t", "|"] | None = None
    decimal: Literal[".", ","] | None = None
    columns: tuple[str, ...] | None = Field(default=None, min_length=1)
    rename: dict[str, str] = {}

    @field_validator("encoding")
    @classmethod
    def _known(cls, name: str | None) -> str | None:
        try:
            # A transform such as `zlib` has a name there as well, and gives no text.
            if name is not None:
                "a".encode(name)
        except (LookupError, ValueError) as error:
            raise ValueError("no such text encoding") from error
        return name and codecs.lookup(name).name


NOTHING = Declared()
"""Said of a file that has no YAML file beside it."""


def read_declared(data: bytes | None) -> Declared:
    """Read the YAML file beside a CSV file; None means that there is none.

    Raises:
        UnreadableFile: It is not YAML, or says something that is not known.
    """
    if data is None:
        return NOTHING
    try:
        return Declared.model_validate(yaml.safe_load(data) or {})
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, one['loc'])) or 'file'}: {one['msg']}" for one in error.errors()
        )
        raise UnreadableFile(f"the YAML file beside it is wrong: {wrong}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UnreadableFile("the YAML file beside it is not YAML") from error
