"""`weir train` against VW's own driver on the same file: the same table, summary and predictions, to the byte."""

import random
import shlex
from pathlib import Path

import pytest
from vw_driver import driver, weir, weir_apart

draw = random.Random(7)
FEATURES = [f"|a x:{draw.random():.3f} y=v{draw.randrange(4)} |b:0.5 w{draw.randrange(5)} z z" for _ in range(60)]


def lines(*labels: str) -> str:
    return "".join(f"{draw.choice(labels)}{features}\n" for features in FEATURES)


def groups(*heads: list[str]) -> str:
    def group() -> str:
        return "".join(f"{head}{draw.choice(FEATURES)}\n" for head in draw.choice(heads))

    return "\n".join(group() for _ in range(30))


DATA = {
    "numbers": lines("1 ", "0 ", "0.5 2 ", "1 0.5 0.1 't", "", "'u "),
    "signs": lines("1 ", "-1 ", "1 2 'tag"),
    "counts": lines("0 ", "1 ", "4 "),
    "classes": lines("1 ", "2 ", "3 't", "1 2 ", "3 0.5 ", ""),
    "names": lines("cat ", "dog 2 ", "bird 0.5 't"),
    "costs": lines("1:0 2:1 3:2 ", "1:1 2:0.5 ", "3:0 1:1 't", "1 2 3 "),
    "bandit": lines("1:0.5:0.5 ", "2:-1:0.2 't", "3:0:1 1 2 3 ", ""),
    "labels": lines("1 ", "1,2 ", "0,2 't", ""),
    "actions": lines("ca 1.5:0.3:0.5 ", "ca 7:-0.1:0.2 't", ""),
    "adf": groups(["shared ", "", "0:1:0.5 "], ["0:-0.5:0.2 ", "", ""], ["", "", "2 "]),
    "ldf": groups(["shared ", "1:0 ", "2:1 "], ["1:2 ", "2:1 't", "3:0 "]),
    "slots": groups(["ccb shared ", "ccb action ", "ccb action ", "ccb slot 0:1:0.5 ", "ccb slot 1:0:0.5 "]),
    "slates": groups(
        ["slates shared 0.5 ", "slates action 0 ", "slates action 0 ", "slates slot 1:0.5 "],
        ["slates shared ", "slates action 0 ", "slates action 1 ", "slates slot ", "slates slot "],
    ),
    "sequence": groups(["1 ", "2 ", "3 "], ["2 ", "1 "]),
}

CONTINUOUS = "--min_value 0 --max_value 10 --bandwidth 1"
SETTINGS = {
    "numbers": [
        "", "-P 7", "-P 1.3", "--examples 10", "--holdout_after 20", "--ftrl -q ab", "--quiet", "--binary -k -c",
        "--hash all --ngram a2 --skips a1 --affix +2a,-1b --spelling b", "--redefine a:=b --interactions aaa",
        "--lrq ab2 --l1 1e-4", "--nn 2 --inpass", "--bootstrap 3", "--stage_poly", "--marginal a --compete",
        "--active --simulation", "--classweight 1:2", "--replay_b 4", "--baseline", "--confidence", "--new_mf 2",
        "--passes 1 --no_stdin --print", "--loss_function quantile --quantile_tau 0.3 -C 0.1 -b 10",
    ],
    "signs": [
        "--loss_function logistic --link glf1", "--loss_function hinge --binary", "--boosting 3 --alg logistic",
        "--ksvm", "--active_cover --loss_function logistic",
    ],
    "counts": ["--loss_function poisson --link poisson"],
    "classes": [
        "--oaa 3 --probabilities --loss_function logistic", "--oaa 3 --oaa_subsample 2", "--ect 3 --error 1",
        "--log_multi 3", "--recall_tree 3", "--memory_tree 4", "--emt", "--cbify 3 --bag 2",
        "--warm_cb 3 --cb_explore_adf --warm_start 5 --interaction 20",
    ],
    "names": ["--named_labels cat,dog,bird --oaa 3"],
    "costs": ["--csoaa 3", "--cs_active 3 --simulation --cost_max 3"],
    "bandit": ["--cb 3 --cb_type ips", "--cb_explore 3 --cover 2", "--cb_force_legacy --cb 3 --cb_type dm"],
    "labels": ["--multilabel_oaa 3", "--plt 3 --loss_function logistic"],
    "actions": [f"--cats 4 {CONTINUOUS}", f"--cats_pdf 4 {CONTINUOUS}", "--cbzo"],
    "adf": [
        "--cb_adf --rank_all", "--cb_explore_adf --squarecb", "--cb_explore_adf --bag 2 --epsilon 0.1",
        "--explore_eval", "--cb_explore_adf --examples 30 -q ::", "--cb_adf --cb_type dr",
    ],
    "ldf": ["--csoaa_ldf m", "--csoaa_ldf mc --csoaa_rank", "--wap_ldf m", "--cbify_ldf"],
    "slots": ["--ccb_explore_adf --all_slots_loss", "--ccb_explore_adf -q :: --softmax"],
    "slates": ["--slates"],
    "sequence": ["--search 3 --search_task sequence"],
}  # fmt: skip


@pytest.mark.parametrize(("data", "arguments"), [(data, text) for data, texts in SETTINGS.items() for text in texts])
def test_a_run_prints_predicts_and_counts_what_vw_does(data: str, arguments: str, tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_text(DATA[data])
    own = driver(path, shlex.split(arguments), tmp_path / "predictions")
    run = weir_apart if data == "actions" else weir
    ours = run(path, arguments, tmp_path / "predictions")
    assert ours.printed == own.printed.replace(f"creating cache_file = {path}.cache", "using no cache")
    assert ours.predicted == own.predicted
    for name, figure in own.figures.items():
        assert ours.figures[name] == (None if figure is None else pytest.approx(figure, rel=1e-4))


WAYS = [
    b"1 2 |f a", b"1 2 0.5 't|f a", b"1 tag|f a", b"'tag |f a", b"|f a b", b"   1   2   |f   a   b  ", b"1|f a",
    b"1 |f:2 a b | c", b"1 |f\ta b\t", b"\t1 |f a", b"key\t1 |f a", b"\xef\xbb\xbf1 |f a", b"1 ||f a", b"1 |",
    b"1 |f a |f b |f a", b"1 |f |g |h a", b"1 |f a:1e2 b:1E-2 c:+1 d:.5 e:5. g:-.5", b"1 |f :1 :2 a:0 b:-0",
    b".5 |f a", b"+1 |f a", b"1e-3 |f a", b"1 0 |f a", b"1 |f 12345 6:2 -7", b"1 |f a\r", b"1 |f \xff\xfe \xc3\xa9:2",
    b"1 '\xff |\xfe a", b"1 |f b a:0.7\x00", b"1 |f a\x00", b"1 |f a^b c=d:2", b"1 |f a,b;c (d \"e\" 'g #h",
]  # fmt: skip


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\n\n", b""])
def test_every_way_of_writing_a_line_is_read_as_vw_reads_it(end: bytes, tmp_path: Path) -> None:

    path = tmp_path / "data"
    path.write_bytes((end or b"\n").join(WAYS) + end)
    own = driver(path, ["-P", "1"], tmp_path / "predictions")
    assert weir(path, "-P 1", tmp_path / "predictions") == own


def test_files_that_vw_writes_are_those_of_its_driver(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_text(DATA["numbers"])
    written = []
    for run in ("driver", "weir"):
        names = {option: tmp_path / f"{run}{option}" for option in ("-f", "-r", "--readable_model", "--invert_hash")}
        arguments = [word for option, name in names.items() for word in (option, str(name))]
        if run == "driver":
            driver(path, arguments, tmp_path / "predictions")
        else:
            weir(path, shlex.join(arguments), tmp_path / "predictions")
        written.append([name.read_bytes() for name in names.values()])
    assert written[0] == written[1]
