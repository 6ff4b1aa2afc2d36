"""Which paths a shell takes as they are: Ray's own lines for one, and what pods say, name paths without quotes."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["UNQUOTED"]

UNQUOTED: Final = re.compile(r"""[\s'"`\\$&|;<>()*?]""")  # one of these, and it is another path, or two
