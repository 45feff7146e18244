"""`make bench`: what Weir must reach, measured side by side with a bare reference in one run."""
