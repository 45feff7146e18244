"""Posts to an address outside. Says nothing of the address in errors: it is a secret."""

import aiohttp

from stream_app.webhook import NotPosted

TIMEOUT_S = 5.0


class Poster:
    """Calls post JSON to `url`. A redirect is no answer: it may lead anywhere."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def __call__(self, body: bytes) -> None:
        """Raises NotPosted for no answer within TIMEOUT_S, or any but 2xx."""
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        headers = {"Content-Type": "application/json"}
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.post(self._url, data=body, headers=headers, allow_redirects=False) as answer,
            ):
                status = answer.status
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise NotPosted(type(error).__name__) from None
        if not 200 <= status < 300:
            raise NotPosted(f"it answered {status}")
