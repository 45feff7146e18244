"""A client of a running service, for the commands. Waits and tries again where the service asks for it."""

import asyncio
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import orjson

from stream_app.settings import HttpSettings

if TYPE_CHECKING:
    import aiohttp

TRIES = 60
"""How often an overloaded or full service is asked again, about a second apart."""


class ClientError(Exception):
    """The service refused, or did not answer. The message is the service's own where there is one."""


class NotRunning(ClientError):
    """Nobody listens at the address."""


class Client:
    """Talks to the service at `url`; an async context manager.

    aiohttp is imported once somebody asks: that takes as long as all else of a command's start, and most never ask.
    """

    def __init__(self, url: str, token: str | None = None) -> None:
        self.url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"} if token is not None else {}

    @classmethod
    def of(cls, http: HttpSettings) -> Self:
        """The client of the service that these settings configure."""
        host = f"[{http.host}]" if ":" in http.host else http.host
        return cls(f"http://{host}:{http.port}", http.token)

    async def __aenter__(self) -> Self:
        import aiohttp

        self._session = aiohttp.ClientSession(headers=self._headers, timeout=aiohttp.ClientTimeout(total=600.0))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def get(self, path: str) -> Any:
        """The JSON answer to a GET. Raises ClientError."""
        return await self._asked("GET", path, None)

    async def post(self, path: str, body: bytes) -> Any:
        """The JSON answer to a POST. Raises ClientError."""
        return await self._asked("POST", path, body)

    async def _asked(self, method: str, path: str, body: bytes | None) -> Any:
        import aiohttp

        for _ in range(TRIES):
            try:
                async with self._session.request(method, self.url + path, data=body) as answer:
                    content = await answer.read()
                    if answer.status not in (429, 503) or "Retry-After" not in answer.headers:
                        return _content(answer, content)
                    await asyncio.sleep(float(answer.headers["Retry-After"]))
            except aiohttp.ClientConnectorError as error:
                raise NotRunning(
                    f"no service at {self.url}: {error.os_error.strerror}; start it by weir serve"
                ) from error
            except (aiohttp.ClientError, TimeoutError) as error:
                raise ClientError(f"{self.url}{path}: {type(error).__name__}: {error}") from error
        raise ClientError(f"{self.url}{path}: {_message(content) or 'still overloaded'}")


def _content(answer: "aiohttp.ClientResponse", content: bytes) -> Any:
    if answer.status >= 400:
        raise ClientError(_message(content) or f"{answer.url}: {answer.status} {answer.reason}")
    return orjson.loads(content)


def _message(content: bytes) -> str | None:
    try:
        return str(orjson.loads(content)["error"]["message"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None
