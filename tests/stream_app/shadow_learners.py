"""Learners for shadows that go wrong: river pipelines by import path, as a user may write them."""

import time

from river import base


class _Wrong(base.Classifier):
    def predict_proba_one(self, x):
        self._go_wrong()
        return {True: 0.5, False: 0.5}

    def learn_one(self, x, y):
        self._go_wrong()

    def _go_wrong(self):
        raise NotImplementedError


class Hanging(_Wrong):
    def _go_wrong(self):
        while True:
            time.sleep(1000)


class Raising(_Wrong):
    def _go_wrong(self):
        raise RuntimeError("this learner is broken")


def hanging():
    return Hanging()


def raising():
    return Raising()
