"""How a source says to a broker who it is, and makes sure who the broker is."""

from pathlib import Path

import pytest
from kafka_broker import PASSWORD, PATIENT, Certificates, issued_in, new_place, tasks_left
from source_reading import payloads_of, read_until_idle

from stream_app import config, wiring
from stream_app.settings import ConfigError
from stream_app.sources.kafka import KafkaSource
from stream_app.sources.source import SourceError

SASL = 'security_protocol = "SASL_PLAINTEXT", sasl_mechanism = "PLAIN", sasl_plain_username = "weir"'


def opened(servers: str, options: str, **environment: str) -> KafkaSource:
    """A source on a new topic by settings of the environment, as users give them."""
    place = {"WEIR_SOURCE_URL": f"kafka:{new_place(servers)}", "WEIR_SOURCE_PARTITIONS": "2"}
    patient = {"WEIR_SOURCE_TIMEOUT_S": str(PATIENT.timeout_s)}
    settings = config.load(environment={**place, **patient, "WEIR_SOURCE_KAFKA": f"{{{options}}}", **environment})
    source = wiring.build_source(settings, wiring.build_format(settings, wiring.build_learner(settings).traits))
    assert isinstance(source, KafkaSource)
    return source


def encrypted(authority: Path) -> str:
    return f'security_protocol = "SSL", ssl_cafile = "{authority}"'


async def test_options_and_the_password_reach_the_broker(sasl_servers: str) -> None:
    source = opened(sasl_servers, SASL, WEIR_SOURCE_KAFKA_PASSWORD=PASSWORD)
    assert await source.append([b"a"]) == {0: range(1)}
    assert payloads_of(await read_until_idle(source, {})) == {0: [b"a"]}
    await source.close()


def test_a_wrong_password_is_an_error_that_says_so(sasl_servers: str) -> None:
    with pytest.raises(SourceError, match=r"cannot be opened; .*Authentication failed: Invalid username or password"):
        opened(sasl_servers, SASL, WEIR_SOURCE_KAFKA_PASSWORD="wrong")


async def test_encrypted_with_certificates_on_both_sides_it_appends_reads_and_joins_the_group(
    tls_servers: str, certificates: Certificates, tmp_path: Path
) -> None:
    source = opened(tls_servers, f'{encrypted(certificates.authority)}, ssl_certfile = "{certificates.client}"')
    assert await source.append([b"a", b"b"]) == {0: range(2)}
    assert payloads_of(await read_until_idle(source, {})) == {0: [b"a", b"b"]}
    group = source.group(None, "model", tmp_path)
    await group.open()
    while not group.turn:
        await group.beat()
        await group.wait()
    await group.close()
    await source.close()
    assert tasks_left() == []


def test_a_broker_of_another_authority_is_not_trusted(
    tls_servers: str, certificates: Certificates, tmp_path: Path
) -> None:
    options = f'{encrypted(issued_in(tmp_path).authority)}, ssl_certfile = "{certificates.client}"'
    with pytest.raises(SourceError, match="certificate verify failed"):
        opened(tls_servers, options)


def test_a_client_without_a_certificate_is_not_let_in(tls_servers: str, certificates: Certificates) -> None:
    with pytest.raises(SourceError, match="cannot be opened"):
        opened(tls_servers, encrypted(certificates.authority), WEIR_SOURCE_TIMEOUT_S="3")


def test_secrets_are_taken_from_no_file_of_settings(tmp_path: Path) -> None:
    (tmp_path / "weir.toml").write_text('[source]\nkafka_password = "x"\n')
    with pytest.raises(ConfigError, match="WEIR_SOURCE_KAFKA_PASSWORD or WEIR_SOURCE_KAFKA_PASSWORD_FILE instead"):
        config.load(str(tmp_path / "weir.toml"))
