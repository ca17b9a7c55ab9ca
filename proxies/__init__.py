"""The proxies: small pure functions over a Probe. This package imports torch only.

Importing it fills the registry; everything else knows a proxy by its registered name alone.
"""

from proxies import activation, distiller, gradient, jacobian, size, teacher
from proxies.combine import Combination
from proxies.registry import Proxy, parts, proxy, registered, select

__all__ = [
    "Combination",
    "Proxy",
    "activation",
    "distiller",
    "gradient",
    "jacobian",
    "parts",
    "proxy",
    "registered",
    "select",
    "size",
    "teacher",
]
