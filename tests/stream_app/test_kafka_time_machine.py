"""The past of a model that learns from a topic: partitions interleave as they were learnt, not as a log would."""

import random
from pathlib import Path

from kafka_broker import new_place
from kafka_services import learner_of, on_topic
from test_time_machine import answers_again, asked, remembered
from weir_process import Weir, closing, synthetic, wait_for


async def test_answers_and_packages_of_several_partitions_are_derived_again_from_the_order_learnt(
    kafka: str, tmp_path: Path
) -> None:
    chance, number = random.Random(8), 0
    service = Weir(tmp_path, **on_topic(new_place(kafka), 3, checkpoints={"every_s": 1000}))
    models: set[str] = set()
    with closing(service):
        service.start()
        for turn in range(3):
            learner_of([service])
            for first in range(turn * 1500, (turn + 1) * 1500, 100):
                assert service.post("/events", b"\n".join(synthetic(100, first=first))).status == 202
                before = len(models)
                while len(models) == before:  # until some of it is learnt
                    answer = service.post("/predict", asked(number))
                    assert answer.status == 200, answer
                    models.add(answer.body["model"])
                    number += 1
            service.kill()
            service.start()
        wait_for(lambda: service.status()["lag"] == 0)
        served = [remembered(service, f"asked-{one}") for one in range(number)]
        assert len({one.model for one in served}) > 20
        chosen = chance.sample(served, 30)
        assert await answers_again(service, chosen) == [one.prediction for one in chosen]
        for line in service.get("/checkpoints").body["checkpoints"]:
            ran = service.command("verify", line["id"])
            assert ran.code == 0 or "it has learnt nothing" in ran.out, ran
        assert service.stop() == 0
