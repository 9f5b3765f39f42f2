"""What is told of an ID token that is not acceptable.

Owns the error's type, apart from the check that raises it (`id_token.py`): that loads a library for
keys and signatures, which a hub without an OpenID provider never needs. Called by `id_token.py`,
`provider.py` and `oidc.py`. Never holds a value of the token.
"""

from __future__ import annotations


class IdTokenError(Exception):
    """An ID token is not acceptable; `reason` is a word for the log, `key_unknown` if no key fits.

    Another fetch of the issuer's keys may help then, and only then.
    """

    def __init__(self, reason: str, message: str, *, key_unknown: bool = False) -> None:
        """Keep what is told and what is logged."""
        super().__init__(message)
        self.reason = reason
        self.key_unknown = key_unknown
