"""The input normalisation that a user names. What it is, and how it travels: benchmarks/conditions/normalisation.py."""

from __future__ import annotations

from benchmarks.conditions.normalisation import Normalisation, beside, checked, class_names, read, retouch

__all__ = ["IMAGENET", "Normalisation", "beside", "class_names", "parse", "read", "retouch"]

IMAGENET = Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # torchvision's
NAMED = {"imagenet": IMAGENET}


def parse(text: str) -> Normalisation:
    """The normalisation that a user names: imagenet, or MEAN/STD, each one number or one a channel.

    Raises ValueError, saying what is allowed.
    """
    if text in NAMED:
        return NAMED[text]
    try:
        halves = [[float(number) for number in half.split(",")] for half in text.split("/")]
        mean, std = (half * 3 if len(half) == 1 else half for half in halves)
        return checked(mean, std)
    except ValueError:
        raise ValueError(
            f"--teacher-normalisation {text}: {', '.join(NAMED)}, or MEAN/STD of pixels from 0 to 1, each a number or "
            "three with commas, such as 0.5/0.25 or 0.507,0.487,0.441/0.268,0.257,0.276"
        ) from None
