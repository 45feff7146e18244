"""`make kafka`: one Kafka broker on this machine, from its Maven artifacts. For development and tests; keeps its data.

python -m tools.kafka [--port PORT] [--dir FOLDER]
"""

import base64
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import uuid
from pathlib import Path
from string import Template

import click

VERSION = "4.1.1"
CACHE = Path(__file__).parents[1] / ".kafka"
PORT = 9092
START_S = 240.0
STOP_S = 20.0
HEAP = ["-Xms128m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]

POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>weir</groupId><artifactId>kafka</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{VERSION}</version></dependency>
    <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>2.24.3</version></dependency>
  </dependencies>
</project>
"""

LOGGING = """rootLogger.level=WARN
rootLogger.appenderRef.stderr.ref=stderr
appender.stderr.type=Console
appender.stderr.name=stderr
appender.stderr.target=SYSTEM_ERR
appender.stderr.layout.type=PatternLayout
appender.stderr.layout.pattern=kafka: %p %c{1}: %m%n
logger.server.name=kafka.server.KafkaRaftServer
logger.server.level=INFO
"""

STARTED = "Kafka Server started"
TAKEN = re.compile(r"failed to bind to \S+:(\d+): Address already in use")

PROPERTIES = """process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$controller
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller
controller.listener.names=CONTROLLER
log.dirs=$data
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
group.initial.rebalance.delay.ms=0
"""


class KafkaError(Exception):
    """The broker cannot be built or started. The message says why."""


class PortTaken(KafkaError):
    """Somebody else listens on `port`, where the broker was to."""

    def __init__(self, port: int) -> None:
        super().__init__(f"port {port} is taken: stop what listens there, or name another one")
        self.port = port


def missing() -> str | None:
    """What is needed to run a broker and not installed here."""
    absent = [name for name in ("java", "mvn") if shutil.which(name) is None]
    return f"{' and '.join(absent)} not found on the PATH: Kafka runs on Java 17 and comes by Maven" if absent else None


class Broker:
    """A broker of one node on 127.0.0.1, its data in `folder`; as a context it runs from entry to exit.

    What is in `folder` is taken up again. `options` are further settings of Kafka, in which $port and $controller stand
    for the two ports listened on. A port that is not given may be another one after the first start: somebody may have
    taken it before. Raises KafkaError; PortTaken where that happens to a port that others have been told.
    """

    def __init__(self, folder: Path, port: int | None = None, options: dict[str, str] | None = None) -> None:
        self._folder = folder
        self._port = port or free_port()
        self._controller = 0
        self._is_told = port is not None
        self._options = options or {}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def servers(self) -> str:
        """What clients connect to."""
        return f"127.0.0.1:{self._port}"

    @property
    def pid(self) -> int:
        """Of the running broker. Raises KafkaError where none runs."""
        if self._process is None:
            raise KafkaError(f"no broker runs in {self._folder}; start it")
        return self._process.pid

    def start(self) -> "Broker":
        """Returns once the broker takes connections."""
        if (absent := missing()) is not None:
            raise KafkaError(absent)
        jars = fetched_jars()
        self._folder.mkdir(parents=True, exist_ok=True)
        while True:
            try:
                self._launch(jars)
            except PortTaken as taken:
                if taken.port == self._port and not self._is_told:
                    self._port = free_port()
                elif taken.port != self._controller:
                    raise
            else:
                self._is_told = True
                return self

    def stop(self) -> None:
        """In order; returns when nothing is left running."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.kill()
        self._process = None

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._process = None

    def wait(self) -> int:
        """Until the broker ends by itself; returns its exit code."""
        return self._process.wait() if self._process is not None else 0

    def __enter__(self) -> "Broker":
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.stop()

    def _launch(self, jars: Path) -> None:
        properties = self._configured()
        self._formatted(jars, properties)
        with (self._folder / "broker.log").open("ab") as log:
            said_before = log.tell()
            self._process = subprocess.Popen(
                self._java(jars, "kafka.Kafka", str(properties)), stdout=log, stderr=log, start_new_session=True
            )
        try:
            self._wait_started(self._process, said_before)
        except BaseException:
            self.kill()
            raise

    def _configured(self) -> Path:
        while (port := free_port()) == self._port:
            pass
        self._controller = port
        lines = PROPERTIES + "".join(f"{name}={value}\n" for name, value in self._options.items())
        text = Template(lines).substitute(port=self._port, controller=self._controller, data=self._folder / "data")
        path = self._folder / "server.properties"
        path.write_text(text, encoding="utf-8")
        (self._folder / "log4j2.properties").write_text(LOGGING, encoding="utf-8")
        return path

    def _formatted(self, jars: Path, properties: Path) -> None:
        if (self._folder / "data" / "meta.properties").exists():
            return
        # The first byte is none of those that make a name begin with "-", which would be read as an option.
        name = base64.urlsafe_b64encode(bytes(1) + uuid.uuid4().bytes[1:]).decode().rstrip("=")
        command = self._java(jars, "kafka.tools.StorageTool", "format", "-t", name, "-c", str(properties))
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        if run.returncode:
            raise KafkaError(f"the storage in {self._folder} cannot be formatted: {run.stdout}{run.stderr}")

    def _java(self, jars: Path, *arguments: str) -> list[str]:
        logging = f"-Dlog4j2.configurationFile={self._folder / 'log4j2.properties'}"
        return ["java", *HEAP, logging, "-cp", f"{jars}/*", *arguments]

    def _wait_started(self, process: "subprocess.Popen[bytes]", said_before: int) -> None:
        """By its own word: a port that takes connections may be somebody else's."""
        deadline, has_ended, said = time.monotonic() + START_S, False, ""
        while not has_ended and time.monotonic() < deadline:
            has_ended = process.poll() is not None
            said = (self._folder / "broker.log").read_bytes()[said_before:].decode("utf-8", "replace")
            if STARTED in said:
                return
            time.sleep(0.05)
        if (taken := TAKEN.search(said)) is not None:
            raise PortTaken(int(taken[1]))
        raise KafkaError(f"the broker on port {self._port} did not start: {said[-2000:]}")


def fetched_jars() -> Path:
    """The folder of Kafka's jars, which Maven fetches where they are not there yet. Raises KafkaError."""
    jars = CACHE / f"kafka-{VERSION}"
    if jars.exists():
        return jars
    CACHE.mkdir(exist_ok=True)
    pom, aside = CACHE / "pom.xml", CACHE / f"fetching-{os.getpid()}"
    pom.write_text(POM, encoding="utf-8")
    command = ["mvn", "-B", "-q", "-f", str(pom), "dependency:copy-dependencies", f"-DoutputDirectory={aside}"]
    run = subprocess.run([*command, "-DincludeScope=runtime"], capture_output=True, text=True, check=False)
    if run.returncode:
        shutil.rmtree(aside, ignore_errors=True)
        raise KafkaError(f"Maven could not fetch Kafka {VERSION}: {run.stdout[-2000:]}{run.stderr[-2000:]}")
    try:
        aside.rename(jars)
    except OSError:  # somebody else was faster
        shutil.rmtree(aside, ignore_errors=True)
    return jars


def free_port(wanted: int = 0) -> int:
    """The port wanted if nobody listens there, else any free one."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            return free_port()
        return int(probe.getsockname()[1])


@click.command(epilog="Example: python -m tools.kafka --port 9092")
@click.option("--port", type=int, help=f"Listen here; default {PORT} if it is free, else a free port.")
@click.option(
    "--dir", "folder", type=Path, default=CACHE / "broker", help="Settings, data and log; default .kafka/broker."
)
def main(port: int | None, folder: Path) -> None:
    """Run a Kafka broker in the foreground until Ctrl-C or SIGTERM."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    began_at = time.monotonic()
    if not (CACHE / f"kafka-{VERSION}").exists():
        click.echo(f"fetching Kafka {VERSION} by Maven ...", err=True)
    try:
        with Broker(folder.resolve(), port or free_port(PORT)) as broker:
            click.echo(f"KAFKA_BOOTSTRAP_SERVERS={broker.servers}")
            click.echo(f"started in {time.monotonic() - began_at:.1f} s; its log is {folder}/broker.log", err=True)
            code = broker.wait()
        raise click.ClickException(f"the broker ended with {code}; see {folder}/broker.log")
    except KafkaError as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        click.echo("stopped", err=True)


if __name__ == "__main__":
    main()
