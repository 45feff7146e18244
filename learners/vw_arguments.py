"""The arguments of Vowpal Wabbit as a user writes them: what they ask for, and what a stream cannot have."""

import shlex
from collections.abc import Set

from learners.learner import LearnerError

# Options that name files, read other input, end the process, or wait for a network peer.
_REFUSED = {
    "-d": "the data come from the source: weir train FILE", "--data": "the data come from the source: weir train FILE",
    "--daemon": "weir serve is the daemon", "--port": "weir serve is the daemon",
    "-i": "models come from checkpoints", "--initial_regressor": "models come from checkpoints",
    "-f": "models go to checkpoints", "--final_regressor": "models go to checkpoints",
    "--save_per_pass": "models go to checkpoints", "--predict_only_model": "it could not be learnt on",
    "-c": "a stream has no cache", "--cache": "a stream has no cache", "--cache_file": "a stream has no cache",
    "-k": "a stream has no cache", "--kill_cache": "a stream has no cache",
    "--passes": "a stream is passed once", "--examples": "a stream has no end", "--help": "see the documentation of VW",
    "-h": "see the documentation of VW", "--version": "see weir --version",
    "--span_server": "it waits for a network peer",
    "--json": "set events.format instead", "--dsjson": "set events.format instead",
    "--csv": "set events.format instead", "--flatbuffer": "set events.format instead",
    "--lda": "the binding cannot feed it", "--para_active": "VW crashes at the second example",
    "-p": "use --predictions", "--predictions": "use --predictions",
    "-P": "use --progress", "--progress": "use --progress",
    "-t": "use weir predict", "--testonly": "use weir predict",
    "-r": "use --predictions", "--raw_predictions": "use --predictions",
    "--readable_model": "models go to checkpoints", "--invert_hash": "models go to checkpoints",
    "--output_feature_regularizer_binary": "models go to checkpoints",
    "--output_feature_regularizer_text": "models go to checkpoints",
    "-a": "it prints every feature", "--audit": "it prints every feature",
    "--audit_regressor": "it prints every feature", "--extra_metrics": "weir serve has metrics",
    "--foreground": "weir serve is the daemon", "--num_children": "weir serve is the daemon",
    "--pid_file": "weir serve is the daemon", "--port_file": "weir serve is the daemon",
    "--sendto": "it waits for a network peer",
}  # fmt: skip

# Measured: with these parts alone, continuing after a restore gives the bits of never stopping.
_EXACT = frozenset([
    "gd", "freegrad", "ftrl-Proximal-FTRL", "ftrl-Coin Betting", "ftrl-PiSTOL", "scorer-identity", "scorer-logistic",
    "count_label", "binary", "lrq", "lrqfa", "marginal", "interact", "shared_feature_merger", "csoaa_ldf-rank",
    "cb_adf", "cb_to_cbadf", "cb_explore_adf_greedy", "cb_explore_adf_regcb", "cb_explore_adf_squarecb",
    "cb_explore_adf_softmax", "cb_explore_adf_synthcover",
])  # fmt: skip
# These hold several models. VW's file has the sums that normalise the updates for the first of them only.
_EXACT_UNLESS_NORMALIZED = frozenset(["oaa", "oaa-prob", "ect", "csoaa", "multilabel_oaa"])

# Stored in the model as lists: given again with `-i`, they would stand there twice, and once more each time.
_STORED_LISTS = ("--ngram", "--skips", "--lrq", "--redefine", "--spelling")

_CLASSES = ("--oaa", "--ect", "--log_multi", "--plt", "--recall_tree", "--oaa_subsample")


def split_arguments(text: str) -> list[str]:
    """The tokens of an argument string, as a shell would part them. Raises LearnerError for an unclosed quote."""
    try:
        return shlex.split(text)
    except ValueError as error:
        raise LearnerError(f"learner.args: {error}: {text!r}") from error


class VWArguments:
    """An argument string, taken apart. Raises LearnerError for options that would leave the stream or the process."""

    def __init__(self, text: str) -> None:
        self.tokens = split_arguments(text)
        for token in self.tokens:
            option = token.partition("=")[0] if token.startswith("--") else token[:2]
            reason = _REFUSED.get(option)
            if reason is not None:
                raise LearnerError(f"learner.args: {option} is not for a stream: {reason}")
        self.options = {token.partition("=")[0] for token in self.tokens}

    def __str__(self) -> str:
        return shlex.join(self.tokens)

    @property
    def command(self) -> list[str]:
        """The tokens that VW is given. Quiet, it would not say that predictions are no numbers; `--active` would wait
        for a network peer."""
        given = [token for token in self.tokens if token != "--quiet"]
        is_active = "--active" in self.options and "--no_daemon" not in self.options
        return [*given, "--no_daemon"] if is_active else given

    def value(self, name: str, default: str) -> str:
        """The value of an option, in either way of writing it.

        >>> VWArguments("-b 20 --link=logistic").value("--link", "identity")
        'logistic'
        """
        for index, token in enumerate(self.tokens):
            if token.startswith(f"{name}="):
                return token.partition("=")[2]
            if token == name and index + 1 < len(self.tokens):
                return self.tokens[index + 1]
        return default

    def classes(self) -> int:
        """The highest class that a label may be; 0 where that is not bounded."""
        text = next((self.value(name, "0") for name in _CLASSES if name in self.options), "0")
        is_zero_based = self.value("--indexing", "") == "0"
        return int(text) - is_zero_based if text.isdigit() else 0

    def for_restore(self) -> list[str]:
        """The tokens without what the model file brings itself."""
        kept: list[str] = []
        tokens = iter(self.command)
        for token in tokens:
            if token in _STORED_LISTS:
                next(tokens, None)
            elif token.partition("=")[0] not in _STORED_LISTS:
                kept.append(token)
        return kept

    def resume_exactly(self, reductions: Set[str]) -> bool:
        """Whether a learner of these arguments and VW's `reductions` was measured to continue bit for bit."""
        is_normalized = "--normalized" in self.options or not self.options & {"--sgd", "--adaptive", "--invariant"}
        if is_normalized and "gd" in reductions:
            return reductions <= _EXACT and self.value("--cb_type", "") != "dr"
        return reductions <= _EXACT | _EXACT_UNLESS_NORMALIZED
