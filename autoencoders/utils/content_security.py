"""Content security policies of HTML pages."""

from __future__ import annotations

import base64
import hashlib


def hash_source(text: str) -> str:
    """Return the SHA-256 hash of a style sheet or script in the syntax of a content security policy."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
