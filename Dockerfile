# Weir, installed with the versions of constraints.txt. Only wheels are taken, so nothing is compiled here but Weir itself.
FROM python:3.11.14-slim-bookworm AS build
WORKDIR /src
COPY pyproject.toml constraints.txt README.md ./
COPY formats formats
COPY learners learners
COPY checkpoints checkpoints
COPY stream_app stream_app
COPY tools tools
RUN python -m venv /opt/weir \
    && /opt/weir/bin/pip install --no-cache-dir --disable-pip-version-check --only-binary=:all: -c constraints.txt .

FROM python:3.11.14-slim-bookworm
COPY --from=build /opt/weir /opt/weir
ENV PATH=/opt/weir/bin:$PATH
# A new volume takes its owner from the folder that it is mounted on, so these folders are there before.
RUN useradd --system --uid 10001 --user-group --no-create-home --home-dir /weir weir \
    && mkdir -p /weir/data /weir/checkpoints \
    && chown -R weir:weir /weir
USER 10001:10001
# Settings: /weir/weir.toml, or WEIR_ variables. By default all is kept below data/; checkpoints/ is for sharing them.
WORKDIR /weir
VOLUME ["/weir/data", "/weir/checkpoints"]
EXPOSE 8080
# Exec form: weir itself is told SIGTERM, and takes its last checkpoint.
ENTRYPOINT ["weir"]
CMD ["serve"]
