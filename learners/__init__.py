"""Learners: what can be learnt with, one file each; `stream_app/wiring.py` lists them."""
