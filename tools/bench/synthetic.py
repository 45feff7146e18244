"""Events without end, no two alike: ids, high-cardinality text, floats. `python -m tools.bench.synthetic COUNT`."""

import random
import sys

CHUNK = 500


def main() -> None:
    """Write the events to standard output, one a line."""
    count, chance = int(sys.argv[1]), random.Random(1)
    for first in range(0, count, CHUNK):
        lines = [_event(number, chance) for number in range(first, min(first + CHUNK, count))]
        sys.stdout.write("".join(lines))


def _event(number: int, chance: random.Random) -> str:
    user = int(10_000_000 * chance.random() ** 3)
    item = int(1_000_000 * chance.random() ** 2)
    label = int(chance.random() < 0.2 + 0.3 * (item % 3 == 0))
    return (
        f'{{"id":"e-{number}","ts":{1_700_000_000 + number / 1000},"label":{label},"features":{{'
        f'"user":{{"id":"u{user}","country":"c{user % 60}","age":{18 + user % 70}}},'
        f'"item":{{"id":"i{item}","kind":"k{item % 400}","price":{chance.random() * 100.0}}},'
        f'"request":{{"session":"{chance.getrandbits(64):x}","hour":"{number // 40_000 % 24}",'
        f'"score":{chance.gauss(0.0, 1.0)},"position":{number % 10}}}}}}}\n'
    )


if __name__ == "__main__":
    main()
