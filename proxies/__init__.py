"""The proxies, small pure functions over a Probe, and the registry that importing this fills. It imports torch only.

No networks, no images, no accuracies: those are of benchmarks/, which knows a proxy by its registered name alone.
"""

from proxies import activation, attention, distiller, gradient, jacobian, size, teacher
from proxies.combine import Combination
from proxies.registry import Proxy, parts, proxy, registered, select

__all__ = [
    "Combination",
    "Proxy",
    "activation",
    "attention",
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
