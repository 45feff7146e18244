"""Where events come from and are appended to: one file per source, all behind `Source`.

`log:DIR` is EmbeddedLog, `kafka://HOST:PORT/TOPIC` KafkaSource, `file:PATH` FileSource, `memory:` MemorySource.
They are built in one place, `stream_app/wiring.py`, because each needs something else to be built from.
"""
