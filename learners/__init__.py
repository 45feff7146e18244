"""Learners: what can be learnt with, one file each; `LEARNERS` names them."""

from learners.river import River
from learners.vw import VW

LEARNERS = {"vw": VW, "river": River}
