"""Messages arrive in order and are tried again; what cannot be posted is counted, and never waited for."""

import asyncio
import logging
import socket
from collections import Counter
from contextlib import closing

import pytest
from receiver import Receiver

from stream_app import webhook
from stream_app.http import poster
from stream_app.http.poster import Poster
from stream_app.webhook import MOST_WAITING, NotPosted, Webhook


@pytest.fixture(autouse=True)
def short_pauses_and_patience(monkeypatch):
    """A loaded machine may let the receiver wait for its turn: no message is given up, nor sent twice, for that."""
    monkeypatch.setattr(webhook, "PAUSES_S", (0.01, 0.01))
    monkeypatch.setattr(webhook, "GOODBYE_S", 600.0)
    monkeypatch.setattr(poster, "TIMEOUT_S", 600.0)


async def posted(url, bodies):
    errors = Counter()
    hook = Webhook(Poster(url), errors)
    hook.start()
    for body in bodies:
        hook.send(body)
    await hook.close()
    return errors


async def test_messages_arrive_in_order():
    with Receiver() as receiver:
        assert await posted(receiver.url, [b'{"rule": "a"}', b'{"rule": "b"}']) == Counter()
        assert [message["rule"] for message in receiver.got] == ["a", "b"]


async def test_what_is_refused_is_tried_again():
    with Receiver(refuses=2) as receiver:
        assert await posted(receiver.url, [b'{"rule": "a"}']) == Counter()
        assert (receiver.asked, receiver.got) == (3, [{"rule": "a"}])


async def test_what_is_refused_for_good_is_lost_and_counted_and_the_address_is_not_told(caplog):
    with Receiver(refuses=3) as receiver, caplog.at_level(logging.DEBUG, "stream_app"):
        assert await posted(receiver.url, [b'{"rule": "a"}', b'{"rule": "b"}']) == Counter(webhook=1)
        assert [message["rule"] for message in receiver.got] == ["b"]
    assert "it answered 500" in caplog.text
    assert "secret" not in caplog.text
    assert "127.0.0.1" not in caplog.text


async def test_a_redirect_is_not_followed():
    with Receiver() as other, Receiver(location=other.url) as receiver:
        assert await posted(receiver.url, [b'{"rule": "a"}']) == Counter(webhook=1)
        assert other.asked == 0


async def test_an_error_that_nobody_foresaw_ends_it_and_is_told(caplog):
    async def post(body):
        raise RuntimeError("broken")

    hook = Webhook(post, Counter())
    hook.start()
    hook.send(b"{}")
    with pytest.raises(RuntimeError, match="broken"):
        await hook.close()
    assert "posting to the webhook has ended, until the service is restarted" in caplog.text
    assert "RuntimeError: broken" in caplog.text
    assert "Traceback" in caplog.text


async def test_where_nobody_listens_the_message_is_lost():
    with closing(socket.socket()) as held:  # nor can anybody else
        held.bind(("127.0.0.1", 0))
        assert await posted(f"http://127.0.0.1:{held.getsockname()[1]}/x", [b"{}"]) == Counter(webhook=1)


async def test_no_answer_is_not_waited_for_by_whoever_sends():
    async def post(body):
        await asyncio.Event().wait()

    errors = Counter()
    hook = Webhook(post, errors)
    for _ in range(MOST_WAITING + 3):
        hook.send(b"{}")
    assert errors == Counter(webhook=3)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/x", "http://[/x", "http://127.0.0.1:99999/x"])
async def test_an_address_that_leads_nowhere_is_told_without_it(url):
    with pytest.raises(NotPosted) as raised:
        await Poster(url)(b"{}")
    assert "127" not in str(raised.value)
