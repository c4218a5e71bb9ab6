"""What must stand in no message, log or file: passwords and tokens of the services that a user is logged in to."""

from __future__ import annotations

import os
import re

_NAMED = re.compile(r"(TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?|API_?KEY|ACCESS_?KEY)$", re.IGNORECASE)
_SHORTEST = 6  # characters: less is a word that may stand anywhere
_LOOKS = re.compile(r"\bhf_[A-Za-z0-9]{8,}|(?<=://)[^/\s@]+(?=@)|(?i:(?<=bearer )|(?<=basic ))[\w.~+/=-]{6,}")
HIDDEN = "***"


def redacted(text: str) -> str:
    """Text without what looks like a secret: values of environment variables that are named like one, tokens of the
    Hugging Face hub, user and password in an address, what stands in a header of authorization.

    Example:
        >>> redacted("POST https://me:pw123456@mlflow.example failed for hf_abcdefghij")
        'POST https://***@mlflow.example failed for ***'
    """
    known = {value for name, value in os.environ.items() if _NAMED.search(name) and len(value) >= _SHORTEST}
    for value in sorted(known, key=len, reverse=True):
        text = text.replace(value, HIDDEN)
    return _LOOKS.sub(HIDDEN, text)
