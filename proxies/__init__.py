"""The proxies: small pure functions over a Probe. This package imports torch only.

Importing it fills the registry; everything else knows a proxy by its registered name alone.
"""

from proxies import gradient, size, teacher
from proxies.registry import Proxy, proxy, registered, select

__all__ = ["Proxy", "gradient", "proxy", "registered", "select", "size", "teacher"]
