"""What dbt calls `modules`: of Python's own, those that its macros may use, for the linter."""

import datetime
import itertools
import re

__all__ = ["datetime", "itertools", "re"]
