"""One contract for every network that conf/model offers."""

import io
from pathlib import Path

import pytest
import torch
import yaml

from estimators import list_estimators
from treadle.bundle import build_model
from treadle.bundle.limits import limit_building
from treadle.errors import TreadleError
from treadle.schema import IdsBefore, ImageSpan, TokenSpan
from treadle.training.start import carry_weights, trace_moved

pytestmark = pytest.mark.usefixtures("one_thread")  # more threads than free cores cost such small models seconds a test

CONF = Path(__file__).parents[2] / "conf" / "model"
OTHERS = {"auto", "blend", *list_estimators()}  # of several models; models that train themselves
MODELS = sorted(path.stem for path in CONF.glob("*.yaml") if path.stem not in OTHERS)
TARGETS = ["treadle.models."]
N, CARDINALITIES = 5, [4, 7]
READERS = {"text_transformer"}  # to which the first column of ids is a text of one token
SEERS = {"image_resnet", "image_vit"}  # which look at an image as well
IMAGE = ImageSpan(0, 8, 8, 1)
WITHOUT_DROPOUT = {"linear", "image_resnet"}


def read(name):
    """The option with those that its defaults list names, beside it or at a key of it."""
    own = yaml.safe_load((CONF / f"{name}.yaml").read_text())
    found = {}
    for entry in own.pop("defaults", []):
        if isinstance(entry, dict):
            ((place, option),) = entry.items()
            found[place.removeprefix("/model@")] = read(option)
        elif entry != "_self_":
            found |= read(entry)
    return {**found, **own}


def change(node, changes):
    """The node with other values; a key that it has not is one of its members'."""
    inside = {} if "member" not in node else {key: value for key, value in changes.items() if key not in node}
    if inside:
        node = {**node, "member": change(node["member"], inside)}
    return {**node, **{key: value for key, value in changes.items() if key not in inside}}


def build(name, *, num_numeric=N, cardinalities=CARDINALITIES, num_classes=0, **changes):
    node = change(read(name), changes)
    torch.manual_seed(0)
    sizes = {"num_numeric": num_numeric, "cardinalities": cardinalities, "num_classes": num_classes}
    if name in READERS and cardinalities:
        sizes["texts"] = [TokenSpan(0, 1)]
    if name in SEERS:
        sizes["images"] = [IMAGE]
    return build_model(node, targets=TARGETS, **sizes).eval()


def draw(name, num_rows, *, num_numeric=N, cardinalities=CARDINALITIES):
    """Numbers, ids, and pixels for those that look at them."""
    generator = torch.Generator().manual_seed(1)
    ids = [torch.randint(size, (num_rows, 1), generator=generator) for size in cardinalities]
    none = torch.empty(num_rows, 0, dtype=torch.int64)
    rows = [torch.randn(num_rows, num_numeric, generator=generator), torch.cat([none, *ids], dim=1)]
    if name in SEERS:
        rows.append(torch.randint(256, (num_rows, IMAGE.stop), generator=generator).byte())
    return rows


def mean(output):
    return output.mean(dim=1) if output.dim() == 3 else output


@pytest.mark.parametrize("name", MODELS)
class TestEveryModel:
    def test_words_that_move_take_their_weights_along(self, name):
        """So that it predicts what it did, and a new word what an unknown one was."""
        moved = [[0, 3, 0, 1, 2], [0, 2, 1, 6]]
        places = [torch.tensor(each) for each in moved]
        ids = [IdsBefore(each, size) for each, size in zip(places, CARDINALITIES, strict=True)]
        before, after = build(name), build(name, cardinalities=[len(each) for each in moved])
        numeric, now, *pixels = draw(name, 8, cardinalities=[len(each) for each in moved])
        if name in READERS:
            now[now == 2] = 1  # it was 0, which is no token

        after.load_state_dict(carry_weights(before.state_dict(), trace_moved(after, ids)))

        then = torch.stack([place[column] for place, column in zip(places, now.T, strict=True)], dim=1)
        assert torch.equal(after(numeric, now, *pixels), before(numeric, then, *pixels))

    @pytest.mark.parametrize("num_rows", [0, 1, 9])
    @pytest.mark.parametrize("num_classes", [0, 3])
    def test_gives_one_output_or_one_a_class(self, name, num_rows, num_classes):
        output = build(name, num_classes=num_classes)(*draw(name, num_rows))

        assert mean(output).shape == (num_rows, max(1, num_classes))
        assert output.isfinite().all()

    @pytest.mark.parametrize(("num_numeric", "cardinalities"), [(0, [3]), (2, []), (1, [2])])
    @pytest.mark.parametrize("num_rows", [0, 4])
    def test_takes_numbers_alone_and_categories_alone(self, name, num_rows, num_numeric, cardinalities):
        sizes = {"num_numeric": num_numeric, "cardinalities": cardinalities}

        assert mean(build(name, **sizes)(*draw(name, num_rows, **sizes))).shape == (num_rows, 1)

    def test_predicts_a_row_alone_as_among_others(self, name):
        model, rows = build(name), draw(name, 64)

        alone = torch.cat([model(*(values[i : i + 1] for values in rows)) for i in range(64)])

        assert torch.allclose(alone, model(*rows), atol=1e-5)

    def test_starts_the_same_for_the_same_seed(self, name):
        assert torch.equal(build(name)(*draw(name, 9)), build(name)(*draw(name, 9)))

    def test_uses_every_parameter(self, name):
        model = build(name).train()
        # from a state in which no weight is zero: some begin there, and hide those before them
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.1)

        model(*draw(name, 256)).square().sum().backward()

        idle = [key for key, p in model.named_parameters() if p.grad is None or not p.grad.any()]
        assert idle == []

    @pytest.mark.parametrize(("num_numeric", "cardinalities"), [(300, [2] * 40), (0, [3]), (1, [])])
    def test_is_built_within_the_allowance_of_its_weights(self, name, num_numeric, cardinalities):
        sizes = {"num_numeric": num_numeric, "cardinalities": cardinalities}
        model = build(name, **sizes)

        with limit_building(model.state_dict()):
            again = build(name, **sizes)

        assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))

    def test_travels_as_plain_values(self, name):
        model, other = build(name), build(name)
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter)
        file = io.BytesIO()
        torch.save(model.state_dict(), file)
        file.seek(0)

        other.load_state_dict(torch.load(file, weights_only=True))

        assert torch.equal(model(*draw(name, 9)), other(*draw(name, 9)))

    @pytest.mark.slow
    @pytest.mark.sampled_cases(4)
    @pytest.mark.fast_cases(3)
    def test_learns(self, name):
        model, rows = build(name).train(), draw(name, 256)
        numeric, ids = rows[:2]
        target = (numeric[:, 0] + (ids[:, 0] == 2) > 0).float()
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.03)
        losses = []

        for _ in range(60):
            output = model(*rows).squeeze(-1)
            each = target[:, None].expand_as(output) if output.dim() == 2 else target
            loss = torch.nn.functional.binary_cross_entropy_with_logits(output, each)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))

        assert losses[-1] < 0.6 * losses[0]

    def test_refuses_an_argument_that_it_does_not_know(self, name):
        with pytest.raises(TreadleError, match=r"failed when it was built(.|\n)*unexpected keyword argument 'unknown'"):
            build(name, unknown=1)


@pytest.mark.parametrize("name", [name for name in MODELS if name not in WITHOUT_DROPOUT])
def test_dropout_is_drawn_in_training_alone(name):
    model = build(name, dropout=0.5)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)  # some begin as 0, and hide what is before them
    rows = draw(name, 64)

    assert torch.equal(model(*rows), model(*rows))
    model.train()
    assert not torch.equal(model(*rows), model(*rows))


@pytest.mark.parametrize("name", [name for name in MODELS if name not in WITHOUT_DROPOUT])
def test_no_dropout_leaves_no_module_for_it(name):
    assert not any(type(module).__name__ == "Dropout" for module in build(name, dropout=0.0).modules())


def test_indicators_of_ids_are_one_hot():
    ids = torch.stack([torch.arange(7) % 4, torch.arange(7)], dim=1)

    found = build("tabm").net.cat_module(ids)

    wanted = [torch.nn.functional.one_hot(ids[:, place], size) for place, size in enumerate(CARDINALITIES)]
    assert torch.equal(found, torch.cat(wanted, dim=1).float())


@pytest.mark.parametrize("arch_type", ["tabm", "tabm-mini", "tabm-packed"])
@pytest.mark.parametrize("numeric_embedding", ["none", "periodic", "piecewise"])
@pytest.mark.parametrize(("num_numeric", "cardinalities"), [(0, [3]), (2, []), (1, [2])])
def test_tabm_takes_every_kind_of_input_in_every_form(arch_type, numeric_embedding, num_numeric, cardinalities):
    sizes = {"num_numeric": num_numeric, "cardinalities": cardinalities}
    periodic = {"num_frequencies": 16, "frequency_scale": 0.1, "numeric_embedding_dim": 16}
    piecewise = {"num_bins": 8, "numeric_embedding_dim": 4}
    forms = {"none": {}, "periodic": periodic, "piecewise": piecewise}[numeric_embedding]
    model = build("tabm", arch_type=arch_type, numeric_embedding=numeric_embedding, **forms, **sizes)

    assert model(*draw("tabm", 4, **sizes)).shape == (4, 8, 1)
