"""The routes, against the real service and server on a free port."""

import asyncio
import json
import re
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import aiohttp
import pytest
from yarl import URL

from checkpoints.tags import By
from stream_app.http.app import build_app, listen
from stream_app.http.exposure import check_exposure
from stream_app.http.openapi import document
from stream_app.service import Service

EVENT = {"label": 1, "features": {"f": {"a": 1.5, "b": "x"}}}


@asynccontextmanager
async def serving(settings):
    service = Service(settings)
    runner, port = await listen(build_app(service), settings.http)
    learning = asyncio.create_task(service.run())
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client:
            yield service, client
    finally:
        service.stop()
        await learning
        await runner.cleanup()
        await service.close()


async def asked(client, method, path, body=None, **headers):
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    async with client.request(method, path, data=data, headers=headers) as answer:
        return answer.status, await answer.json(), answer.headers


def port_of(client):
    return client._base_url.port


async def learnt(service):
    while service.lag:  # noqa: ASYNC110
        await asyncio.sleep(0.01)


async def test_an_event_is_appended_learnt_and_predicted(settings_in):
    async with serving(settings_in()) as (service, client):
        status, answer, _ = await asked(client, "POST", "/events", [EVENT, EVENT | {"label": 0}])
        assert (status, answer) == (202, {"accepted": 2, "positions": [{"partition": 0, "first": 0, "next": 2}]})
        await learnt(service)
        status, answer, _ = await asked(client, "POST", "/predict", EVENT)
        assert status == 200
        assert answer["model"] == "live@0:2"
        assert 0.0 < answer["prediction"] < 1.0


async def test_a_list_gives_a_list_also_of_one(settings_in):
    async with serving(settings_in()) as (_, client):
        assert len((await asked(client, "POST", "/predict", [EVENT, EVENT]))[1]) == 2
        assert len((await asked(client, "POST", "/predict", [EVENT]))[1]) == 1


async def test_lines_and_pretty_printed_events_are_taken(settings_in):
    async with serving(settings_in()) as (service, client):
        lines = b"\n".join([json.dumps(EVENT).encode()] * 3)
        assert (await asked(client, "POST", "/events", lines))[1]["accepted"] == 3
        pretty = json.dumps(EVENT, indent=2).encode()
        assert (await asked(client, "POST", "/events", pretty))[1]["accepted"] == 1
        await learnt(service)
        assert service.trainer.counts.dead_letters == 0


async def test_an_answer_has_the_head_that_every_other_has(settings_in):
    async with serving(settings_in()) as (_, client):
        _, _, at_once = await asked(client, "POST", "/predict", EVENT)
        _, answer, closing = await asked(client, "POST", "/predict", EVENT, Connection="close")
        assert list(closing) == [*at_once, "Connection"]
        assert at_once["Content-Type"] == closing["Content-Type"] == "application/json"
        assert at_once["Server"] == closing["Server"]
        assert parsedate_to_datetime(at_once["Date"]) <= datetime.now(UTC)
        assert answer["model"] == "live@0:0"


async def test_requests_sent_behind_one_another_are_answered_in_order(settings_in):
    """The first is split in its body, the last closes; one speaks HTTP/1.0."""
    bodies = [json.dumps(EVENT | {"id": str(number)}).encode() for number in range(3)]
    request = b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n%b\r\n%b"
    async with serving(settings_in()) as (service, client):
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(client))
        first = request % (len(bodies[0]), b"", bodies[0])
        writer.write(first[:-5])
        await writer.drain()
        while not service.requests_under_way:  # noqa: ASYNC110 the handler waits for the rest of the body
            await asyncio.sleep(0.001)
        writer.write(first[-5:] + request % (len(bodies[1]), b"", bodies[1]))
        writer.write(request % (len(bodies[2]), b"Connection: close\r\n", bodies[2]))
        answers = await reader.read()
        writer.close()
        assert re.findall(rb'"id":"(\d)"', answers) == [b"0", b"1", b"2"]
        assert answers.count(b"HTTP/1.1 200 OK") == 3
        assert answers.count(b"Connection: close") == 1

        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(client))
        writer.write((request % (len(bodies[0]), b"", bodies[0])).replace(b"HTTP/1.1", b"HTTP/1.0"))
        assert (await reader.read()).startswith(b"HTTP/1.0 200 OK\r\n")
        writer.close()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"garbage", None),
        (b"", "body"),
        (b"[]", "body"),
        (b"3", None),
        (b'{"label": 1}', "features"),
        (b'{"label": "YES", "features": {}}', "label"),
        (b'{"label": 1, "features": []}', "features"),
        (b'{"label": 1, "features": {"f": {"a": 1e300}}}', "a"),
        (b'{"label": 1, "weight": -1, "features": {}}', "weight"),
        (b'{"label": 1, "ts": "noon", "features": {}}', "ts"),
        (b'{"id": [], "features": {}}', "id"),
        (b'[{"features": {}}, {"label": 7, "features": {}}]', "[1].label"),
    ],
)
@pytest.mark.parametrize("path", ["/events", "/predict"])
async def test_a_bad_event_is_a_400_that_names_the_field(settings_in, path, body, field):
    async with serving(settings_in()) as (service, client):
        status, answer, _ = await asked(client, "POST", path, body)
        assert status == 400
        assert answer["error"]["field"] == field
        assert answer["error"]["message"]
        assert service.source.end() == {0: 0}


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/labels", {"id": "a"}, "label"),
        ("/labels", {"id": "", "label": 1}, "id"),
        ("/labels", {"id": "a", "label": 1, "x": 2}, "x"),
        ("/rollback", {"replay": True}, "id"),
        ("/rollback", {"id": "a", "replay": "yes"}, "replay"),
        ("/rollback", {"id": "12345678", "except": [{"partition": 0, "first": 0, "last": 1, "why": ""}]}, "except"),
        (
            "/rollback",
            {"id": "12345678", "replay": True, "except": [{"partition": 0, "first": 2, "last": 2, "why": ""}]},
            "except",
        ),
    ],
)
async def test_a_bad_body_is_a_400_that_names_the_field(settings_in, path, body, field):
    async with serving(settings_in()) as (_, client):
        status, answer, _ = await asked(client, "POST", path, body)
        assert (status, answer["error"]["field"]) == (400, field)


async def test_a_word_that_is_none_of_those_expected_is_told_with_them(settings_in):
    async with serving(settings_in()) as (_, client):
        _, answer, _ = await asked(client, "POST", "/tags/a.b", {"action": "deplo"})
        said = "action: invalid enum value 'deplo': expected one of add, back, deploy, hold, remove"
        assert answer["error"] == {"code": "invalid_body", "message": said, "field": "action"}


async def test_events_with_an_empty_id_are_no_repeats_and_are_predicted_as_without_one(settings_in):
    async with serving(settings_in()) as (service, client):
        await asked(client, "POST", "/events", [EVENT | {"id": ""}] * 3)
        await learnt(service)
        assert service.status()["examples"] == 3
        for path in ("/predict", "/predict?id="):
            _, answer, _ = await asked(client, "POST", path, EVENT | {"id": ""})
            assert answer["id"] is None
        assert (await asked(client, "POST", "/labels", {"id": "", "label": 1}))[0] == 400


@pytest.mark.parametrize("number", ["0", "-1", "x", "", "%C2%B2", "100001", "9" * 5000])
@pytest.mark.parametrize("path", ["/predictions?limit=", "/dead-letters?limit=", "/shadows?over="])
async def test_a_number_that_is_none_or_too_large_is_a_400_that_names_it(settings_in, path, number):
    async with serving(settings_in()) as (_, client):
        status, answer, _ = await asked(client, "GET", URL(path + number, encoded=True))
        assert (status, answer["error"]["field"]) == (400, path.partition("?")[2].rstrip("="))


async def test_a_late_label_completes_the_predicted_event(settings_in):
    async with serving(settings_in()) as (service, client):
        await asked(client, "POST", "/predict", {"id": "v", "features": {"f": {"a": 2.0}}})
        status, _, _ = await asked(client, "POST", "/labels", {"id": "v", "label": 1})
        assert status == 202
        records = await anext(service.source.read({}))
        assert json.loads(records.payloads[0]) == {"id": "v", "features": {"f": {"a": 2.0}}, "label": 1}
        assert (await asked(client, "POST", "/labels", {"id": "v", "label": 1}))[0] == 409
        assert (await asked(client, "POST", "/labels", {"id": "other", "label": 1}))[0] == 404


async def test_an_impossible_late_label_is_refused_and_can_be_sent_again(settings_in):
    async with serving(settings_in()) as (_, client):
        await asked(client, "POST", "/predict", {"id": "v", "features": {"f": {"a": 2.0}}})
        assert (await asked(client, "POST", "/labels", {"id": "v", "label": "maybe"}))[0] == 400
        assert (await asked(client, "POST", "/labels", {"id": "v", "label": 0}))[0] == 202


async def test_checkpoints_are_taken_listed_shown_and_gone_back_to(settings_in):
    async with serving(settings_in()) as (service, client):
        await asked(client, "POST", "/events", [EVENT] * 5)
        await learnt(service)
        status, taken, _ = await asked(client, "POST", "/checkpoints")
        assert status == 201
        before = service.trainer.parts.learner.state()
        await asked(client, "POST", "/events", [EVENT | {"label": 0}] * 5)
        await learnt(service)
        _, listed, _ = await asked(client, "GET", "/checkpoints")
        assert [line["id"] for line in listed["checkpoints"]] == [taken["id"]]
        _, shown, _ = await asked(client, "GET", f"/checkpoints/{taken['id'][7:17]}")
        assert shown["manifest"]["position"] == {"0": 5}
        status, answer, _ = await asked(client, "POST", "/rollback", {"id": taken["id"]})
        assert (status, answer["model"]) == (200, "live@0:10")
        assert service.trainer.parts.learner.state() == before


async def test_an_unknown_checkpoint_is_a_404(settings_in):
    async with serving(settings_in()) as (_, client):
        assert (await asked(client, "GET", "/checkpoints/0123456789"))[0] == 404
        assert (await asked(client, "GET", "/checkpoints/abc"))[0] == 400
        assert (await asked(client, "POST", "/rollback", {"id": "0123456789"}))[0] == 404


async def test_what_changes_something_needs_the_token_and_reading_does_not(settings_in):
    async with serving(settings_in(http={"token": "s3cret"})) as (_, client):
        for path in (
            "/events",
            "/labels",
            "/checkpoints",
            "/rollback",
            "/tags/x",
            "/tags/predict",
            "/tags/x%2Fpredict",
        ):
            status, answer, headers = await asked(client, "POST", URL(path, encoded=True), EVENT)
            assert (status, answer["error"]["code"]) == (401, "unauthorized")
            assert headers["WWW-Authenticate"] == "Bearer"
        assert (await asked(client, "POST", "/events", EVENT, Authorization="Bearer wrong"))[0] == 401
        assert (await asked(client, "POST", "/events", EVENT, Authorization="Bearer s3cret"))[0] == 202
        assert (await asked(client, "POST", "/predict", EVENT))[0] == 200
        assert (await asked(client, "GET", "/status"))[0] == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "example.org"])
def test_other_machines_are_kept_out_without_a_token(settings_in, host):
    with pytest.raises(Exception, match="WEIR_HTTP_TOKEN"):
        check_exposure(settings_in(http={"host": host}).http)
    check_exposure(settings_in(http={"host": host, "token": "x"}).http)


async def test_a_name_of_the_settings_is_taken_with_port_and_in_any_case(settings_in):
    async with serving(settings_in(http={"hosts": ["Box.local:8080"]})) as (_, client):
        for host in ("box.LOCAL:9", "box.local.", "localhost."):
            assert (await asked(client, "GET", "/health/live", Host=host))[0] == 200, host
        assert (await asked(client, "GET", "/health/live", Host="fox.local"))[0] == 403


async def test_too_large_a_body_or_event_is_a_413(settings_in):
    limits = {"http": {"max_body_bytes": 2000}, "events": {"max_bytes": 500}}
    async with serving(settings_in(**limits)) as (_, client):
        big = EVENT | {"features": {"f": {"a": "x" * 600}}}
        assert (await asked(client, "POST", "/events", big))[0] == 413
        assert (await asked(client, "POST", "/predict", big))[0] == 413
        assert (await asked(client, "POST", "/predict", [EVENT, big]))[0] == 413
        status, body, _ = await asked(client, "POST", "/events", b"x" * 3000)
        assert (status, body["error"]["code"]) == (413, "too_large")
        assert "2000 exceeded. (http.max_body_bytes)" in body["error"]["message"]
        assert (await asked(client, "POST", "/events", EVENT))[0] == 202


async def test_more_requests_than_may_wait_are_answered_429(settings_in):
    async with serving(settings_in(http={"max_waiting": 1})) as (_, client):
        _, writer = await asyncio.open_connection("127.0.0.1", port_of(client))
        writer.write(b"POST /events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n")
        while (await asked(client, "GET", "/status"))[0] != 429:  # noqa: ASYNC110 until the upload has begun
            await asyncio.sleep(0.01)
        status, answer, headers = await asked(client, "GET", "/status")
        assert (status, answer["error"]["code"]) == (429, "overloaded")
        assert headers["Retry-After"] == "1"
        assert (await asked(client, "GET", "/health/live"))[0] == 200
        writer.close()
        while (await asked(client, "GET", "/status"))[0] == 429:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_the_status_counts_what_is_learnt_however_old_the_report_is(settings_in, monkeypatch):
    async with serving(settings_in()) as (service, client):
        service.report()
        monkeypatch.setattr(service.report, "_fresh_until", float("inf"))
        assert (await asked(client, "POST", "/events", [EVENT] * 3))[0] == 202
        await learnt(service)
        _, status, _ = await asked(client, "GET", "/status")
        assert (status["position"], status["examples"]) == ({"0": 3}, 3)
        assert status["average_loss"] == service.trainer.parts.progressive.report()["total"]["average_loss"]
        assert service.report()["total"]["examples"] == 0


async def test_the_stream_sends_the_status(settings_in):
    async with serving(settings_in()) as (_, client), client.get("/progress/stream") as stream:
        line = await stream.content.readline()
        assert json.loads(line.removeprefix(b"data: "))["model"] == "live@0:0"


async def test_an_empty_token_is_no_token(settings_in):
    with pytest.raises(Exception, match=r"http\.token: it is empty"):
        settings_in(http={"token": " "})


async def test_a_page_of_another_site_cannot_change_anything(settings_in):
    async with serving(settings_in()) as (_, client):
        own = f"http://127.0.0.1:{port_of(client)}"
        for path in ("/events", "/predict", "/rollback"):
            assert (await asked(client, "POST", path, EVENT, Origin="http://example.org"))[0] == 403
        assert (await asked(client, "POST", "/events", EVENT, Origin=own))[0] == 202


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:{port}", 200), ("localhost:{port}", 200), ("LOCALHOST", 200), ("weir.localhost:1", 200),
        ("[::1]:{port}", 200), ("10.1.2.3", 200), ("proxy.example.org:443", 200), ("Proxy.Example.ORG", 200),
        ("example.org:{port}", 403), ("127.0.0.1.example.org:{port}", 403), ("localhost.example.org", 403),
    ],
)  # fmt: skip
async def test_a_name_that_leads_here_is_no_way_in_for_its_page(settings_in, host, status):
    """DNS rebinding: the page of another site, whose name leads to this machine by now, is of the same origin."""
    async with serving(settings_in(http={"port": 0, "hosts": ["proxy.example.org"]})) as (_, client):
        host = host.format(port=port_of(client))
        sent = {"Host": host, "Origin": f"http://{host}"}
        assert (await asked(client, "POST", "/predict", EVENT, **sent))[0] == status
        assert (await asked(client, "GET", "/status", **sent))[0] == status
    async with serving(settings_in(http={"port": 0, "token": "a token"})) as (_, client):
        assert (await asked(client, "GET", "/status", Host=host))[0] == 200


async def test_what_a_stranger_predicts_is_not_remembered(settings_in):
    async with serving(settings_in(http={"token": "s3cret"})) as (_, client):
        trusted = {"Authorization": "Bearer s3cret"}
        event = {"id": "a", "features": {"f": {"a": 1.0}}}
        await asked(client, "POST", "/predict", event)
        assert (await asked(client, "POST", "/labels", {"id": "a", "label": 1}, **trusted))[0] == 404
        await asked(client, "POST", "/predict", event, **trusted)
        assert (await asked(client, "POST", "/labels", {"id": "a", "label": 1}, **trusted))[0] == 202


async def test_a_late_bandit_label_is_taken(settings_in):
    settings = settings_in(model={"task": "bandit"})
    async with serving(settings) as (service, client):
        event = {"id": "b", "shared": {"u": 1}, "actions": [{"a": 1}, {"a": 2}]}
        await asked(client, "POST", "/predict", event)
        label = {"action": 2, "cost": -1.0, "probability": 0.5}
        assert (await asked(client, "POST", "/labels", {"id": "b", "label": label}))[0] == 202
        await learnt(service)
        assert service.trainer.counts.dead_letters == 0


async def test_a_group_that_vw_would_crash_on_is_dead_and_one_to_be_predicted_is_answered(settings_in):
    settings = settings_in(model={"task": "bandit"}, learner={"args": "--csoaa_ldf multiline"}, events={"format": "vw"})
    async with serving(settings) as (service, client):
        await service.source.append([b"|a x\n|a y", b"1:0.5 |a x\n2:1 |a y"])
        await learnt(service)
        assert service.trainer.counts.dead_letters == 1
        status, answer, _ = await asked(client, "POST", "/predict", b"|a x\n|a y")
        assert (status, answer["prediction"]) == (200, 1.0)


async def test_explain_sums_to_the_raw_score(settings_in):
    settings = settings_in(learner={"args": "--loss_function logistic"})
    async with serving(settings) as (service, client):
        await asked(client, "POST", "/events", [EVENT, EVENT | {"label": 0, "features": {"a": 1}}] * 20)
        await learnt(service)
        _, answer, _ = await asked(client, "POST", "/predict?explain=1", EVENT)
        total = sum(row["contribution"] for row in answer["contributions"])
        assert total == pytest.approx(answer["prediction"], abs=1e-6)
        assert {row["feature"] for row in answer["contributions"]} == {"f^a", "f^b=x", "Constant"}


async def test_progress_metrics_page_and_health_answer(settings_in):
    async with serving(settings_in()) as (service, client):
        await asked(client, "POST", "/events", [EVENT] * 9)
        await learnt(service)
        _, progress, _ = await asked(client, "GET", "/progress")
        assert [row["example_counter"] for row in progress["rows"]] == [1, 2, 4, 8]
        assert progress["report"]["total"]["examples"] == 9
        async with client.get("/metrics") as answer:
            text = await answer.text()
        assert "weir_records_total 9.0" in text
        assert 'weir_position{partition="0"} 9.0' in text
        async with client.get("/") as answer:
            assert "main.js" in await answer.text()
        assert (await asked(client, "GET", "/health/live"))[0] == 200
        expected = {"status": "ready", "role": "learner", "problems": [], "warnings": []}
        assert (await asked(client, "GET", "/health/ready"))[1] == expected


async def test_an_unknown_route_and_a_wrong_method_answer_in_json(settings_in):
    async with serving(settings_in()) as (_, client):
        assert (await asked(client, "GET", "/nothing"))[1]["error"]["code"] == "not_found"
        assert (await asked(client, "GET", "/events"))[0] == 405


async def test_every_route_is_described(settings_in):
    async with serving(settings_in()) as (_, client):
        _, described, _ = await asked(client, "GET", "/openapi.json")
        assert described == json.loads(json.dumps(document()))
    service = Service(settings_in())
    routes = {
        (route.method, route.resource.canonical)
        for route in build_app(service).router.routes()
        if route.method != "HEAD"
    }
    described = {(method.upper(), path) for path, methods in document()["paths"].items() for method in methods}
    assert routes == described
    await service.close()


async def test_vw_text_and_csv_are_taken_as_they_are(settings_in, tmp_path):
    vw = settings_in(events={"format": "vw"})
    async with serving(vw) as (service, client):
        assert (await asked(client, "POST", "/events", b"1 |f a b:2\n-1 |f c\n"))[1]["accepted"] == 2
        assert (await asked(client, "POST", "/predict", b"|f a"))[1]["model"].startswith("live@")
        assert (await asked(client, "POST", "/events", b"YES |f a"))[1]["error"]["field"] == "label"
    place = {"source": {"url": f"log:{tmp_path}/l2"}, "checkpoints": {"url": f"{tmp_path}/c2"}}
    csv = settings_in(
        **place, events={"format": "csv", "columns": ["y", "a"]}, schema={"label": "y", "labels": {"Y": 1, "N": -1}}
    )
    async with serving(csv) as (service, client):
        assert (await asked(client, "POST", "/events", b"y,a\nY,1\nN,2\n"))[1]["accepted"] == 2
        assert (await asked(client, "POST", "/events", b"Y\n"))[0] == 400
        await learnt(service)
        assert service.trainer.counts.records == 2


async def test_a_row_may_begin_and_end_with_an_empty_cell(settings_in):
    tsv = settings_in(events={"format": "tsv", "columns": ["y", "a", "b"]}, schema={"label": "y"})
    async with serving(tsv) as (_, client):
        status, answer, _ = await asked(client, "POST", "/predict", b"\tx\t\r\n")
        assert (status, answer["model"]) == (200, "live@0:0")
        status, answers, _ = await asked(client, "POST", "/predict", b"\tx\t\n\t\ty\n")
        assert (status, len(answers)) == (200, 2)


async def test_blanks_around_a_body_of_json_say_nothing(settings_in):
    async with serving(settings_in()) as (_, client):
        one = json.dumps(EVENT).encode()
        assert (await asked(client, "POST", "/predict", b"\t " + one + b" \n"))[1]["model"] == "live@0:0"
        assert len((await asked(client, "POST", "/predict", b"\t [" + one + b"] \n"))[1]) == 1


async def test_of_a_list_that_is_refused_nothing_is_kept(settings_in):
    args = "preprocessing.StandardScaler() | naive_bayes.GaussianNB()"
    async with serving(settings_in(learner={"kind": "river", "args": args})) as (service, client):
        body = [EVENT | {"id": "a"}, EVENT | {"id": "b"}]
        status, answer, _ = await asked(client, "POST", "/predict?explain=1", body)
        assert (status, answer["error"]["code"]) == (400, "not_possible")
        assert service.serving.past("a") is None
        assert service.serving.funnel.figures(None).predicted == 0


async def test_of_a_list_for_a_tag_with_candidates_that_is_refused_nothing_is_kept(settings_in):
    async with serving(settings_in()) as (service, client):
        await service.checkpoint()
        await service.deployments.deploy("a.b", "live", By("me"))
        await service.deployments.add("a.b", str(service.store.head()), 0.5, By("me"))
        status, answer, _ = await asked(client, "POST", "/tag/a.b/predict", [EVENT | {"id": "a"}, {"features": 3}])
        assert (status, answer["error"]["field"]) == (400, "[1].features")
        assert service.serving.funnel.figures(None).predicted == 0
        status, answers, _ = await asked(
            client, "POST", "/tag/a.b/predict", [EVENT | {"id": str(number)} for number in range(20)]
        )
        assert [one["id"] for one in answers] == [str(number) for number in range(20)]
        assert len({one["model"] for one in answers}) == 2
        assert service.serving.funnel.figures(None).predicted == 20


async def test_what_cannot_score_an_event_without_a_field_is_served_and_explained(settings_in):
    args = "compose.Select('a') | linear_model.LogisticRegression()"
    async with serving(settings_in(learner={"kind": "river", "args": args})) as (service, client):
        assert service.serving.unexplained is None
        _, answer, _ = await asked(client, "POST", "/predict?explain=1", {"features": {"a": 1.0}})
        assert "contributions" in answer or "fields" in answer


async def test_a_body_that_is_packed_wrongly_is_a_400_and_expect_is_answered(settings_in):
    async with serving(settings_in()) as (service, client):
        status, answer, _ = await asked(client, "POST", "/predict", b"garbage", **{"Content-Encoding": "gzip"})
        assert (status, answer["error"]["code"]) == (400, "invalid_body")
        assert service.monitor.errors["http"] == 0
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(client))
        body = json.dumps(EVENT).encode()
        head = b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n"
        writer.write(head % len(body))
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(body)
        assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
        writer.close()


async def test_a_last_line_of_blanks_is_no_event(settings_in):
    async with serving(settings_in(events={"format": "vw"})) as (_, client):
        assert len((await asked(client, "POST", "/predict", b"1 | a\n | b\n  \n \n"))[1]) == 2
        assert (await asked(client, "POST", "/predict", b"1 | a "))[0] == 200


async def test_how_old_records_are_that_are_learnt_again_is_no_news(settings_in):
    async with serving(settings_in()) as (service, client):
        await asked(client, "POST", "/events", [EVENT | {"id": str(number)} for number in range(5)])
        await learnt(service)
        taken = await service.checkpoint()
        await asked(client, "POST", "/events", [EVENT | {"id": str(number)} for number in range(5, 9)])
        await learnt(service)
        ages, labelled = service.monitor.servable.count, service.monitor.labelled
        assert (await asked(client, "POST", "/rollback", {"id": taken, "replay": True}))[0] == 200
        while service.monitor.labelled < labelled + 4:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert service.monitor.servable.count == ages
        await asked(client, "POST", "/events", EVENT)
        while service.monitor.servable.count == ages:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_what_is_only_tried_counts_nowhere(settings_in):
    async with serving(settings_in()) as (service, client):
        assert (await asked(client, "POST", "/predict?keep=0", b"x"))[0] == 400
        assert (await asked(client, "POST", "/predict?keep=0", EVENT))[0] == 200
        assert (service.monitor.requests, service.monitor.request_errors, service.serving.predictions) == (0, 0, 0)
        assert (await asked(client, "POST", "/predict", b"x"))[0] == 400
        assert (service.monitor.requests, service.monitor.request_errors) == (1, 1)


async def test_a_name_that_no_tag_can_have_is_refused_as_wrong_use(settings_in):
    async with serving(settings_in()) as (_, client):
        assert (await asked(client, "POST", "/checkpoints", b""))[0] == 201
        status, answer, _ = await asked(client, "POST", "/tags/Bad%20Tag", b'{"model": "newest"}')
        assert (status, answer["error"]["code"]) == (400, "bad_name")


async def test_the_latest_event_is_one_that_was_learnt(settings_in):
    async with serving(settings_in()) as (service, client):
        assert (await asked(client, "GET", "/events/latest"))[0] == 404
        event = json.dumps(EVENT).encode()
        await service.source.append([event, b"no event"])
        await learnt(service)
        status, answer, _ = await asked(client, "GET", "/events/latest")
        assert (status, answer["event"].encode()) == (200, event)
