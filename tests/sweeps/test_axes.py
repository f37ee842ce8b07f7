import pytest

from treadle.problems import Place
from treadle.sweeps.axes import Choices, Interval, read_space, split_overrides

OPTIONS = {"model": ["linear", "mlp", "mlp_plr", "tabm"], "experiment": ["adult", "flights"]}


@pytest.mark.parametrize(
    ("text", "axis"),
    [
        ("model=mlp,tabm", Choices("model", ("mlp", "tabm"))),
        ("seed=range(3)", Choices("seed", ("0", "1", "2"))),
        ("a=range(0,1,.5)", Choices("a", ("0.0", "0.5"))),
        ("a=null,1", Choices("a", ("null", "1"))),
        ("a='x,y',z", Choices("a", ("'x,y'", "z"))),
        ("a=[1,2],[3]", Choices("a", ("[1,2]", "[3]"))),
        ("+a.b=1,2", Choices("+a.b", ("1", "2"))),
        ("a=sort(3,1,2)", Choices("a", ("1", "2", "3"))),
        ("a=1,1,2", Choices("a", ("1", "2"))),
        ("a=interval(0,1)", Interval("a", 0.0, 1.0, is_log=False, is_integer=False)),
        ("a=tag(log,interval(1e-4,1e-2))", Interval("a", 1e-4, 1e-2, is_log=True, is_integer=False)),
        ("a=int(interval(8,256))", Interval("a", 8, 256, is_log=False, is_integer=True)),
        ("a=int(tag(log,interval(8,256)))", Interval("a", 8, 256, is_log=True, is_integer=True)),
        ("a=tag(int,log,interval(8,256))", Interval("a", 8, 256, is_log=True, is_integer=True)),
        ("model=glob(mlp*)", Choices("model", ("mlp", "mlp_plr"))),
        ("model=glob(*,exclude=mlp*)", Choices("model", ("linear", "tabm"))),
        ("experiment=glob(*)", Choices("experiment", ("adult", "flights"))),
    ],
)
def test_hydras_grammar_of_sweeps(text, axis):
    fixed, axes, problems = split_overrides([text, "b=1"], places={}, options=OPTIONS)
    assert (fixed, axes, problems) == (["b=1"], [axis], [])


def test_shuffled_values_are_all_there():
    _, (axis,), _ = split_overrides(["a=shuffle(range(20))"], places={}, options={})
    assert sorted(map(int, axis.values)) == list(range(20))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a=interval(1,1)", "from a smaller number to a larger one, found 1 to 1"),
        ("a=tag(log,interval(0,1))", "begins above 0, found 0"),
        ("model=glob(x*)", "matches no option of 'model'"),
        ("modle=glob(*)", "lists the options of a group, and 'modle' is none"),
    ],
)
def test_an_axis_without_values_is_refused_at_its_place(text, said):
    place = Place(override=text, position=1)
    _, axes, (problem,) = split_overrides([text], places={text: place}, options=OPTIONS)
    assert axes == []
    assert said in problem.rule
    assert problem.place == place


def test_a_space_is_lists_or_the_same_grammar():
    space = {"model": ["mlp", "tabm"], "a": "tag(log, interval(1e-4, 1e-2))", "b": "range(2)", "c": ["x, y", None, 1.5]}
    axes, problems = read_space(space, place=Place(), options=OPTIONS)
    assert problems == []
    assert axes == [
        Choices("model", ("'mlp'", "'tabm'")),
        Interval("a", 1e-4, 1e-2, is_log=True, is_integer=False),
        Choices("b", ("0", "1")),
        Choices("c", ("'x, y'", "null", "1.5")),
    ]


def test_a_space_of_one_value_is_refused():
    _, (problem,) = read_space({"a": 3}, place=Place("conf/sweep/mine.yaml", 4), options=OPTIONS)
    assert "sweep.space.a: 3 gives one value" in problem.rule
