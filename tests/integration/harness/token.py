"""Makes tokens as the services' own helpers do: with python3-jwt and HS256."""
import time

import jwt

SECRET = "a-secret-for-tests-0123456789"


def token(user_id="ana", permissions=(), secret=SECRET, algorithm="HS256", headers=None,
          expires_in=3600, **claims):
    """Returns a token.  A claim that is None is left out."""
    now = int(time.time())
    payload = {"user_id": user_id, "permissions": list(permissions), "iat": now,
               "exp": None if expires_in is None else now + expires_in, **claims}
    payload = {name: value for name, value in payload.items() if value is not None}
    return jwt.encode(payload, secret, algorithm=algorithm, headers=headers)
