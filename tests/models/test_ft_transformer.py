import torch

from treadle.models.ft_transformer import Attention, FeatureTokenizer, FtTransformer

SIZES = {"num_blocks": 2, "num_heads": 2, "head_dim": 3, "hidden_factor": 2.0}
NO_DROPOUT = {"dropout": 0.0, "attention_dropout": 0.0}


def build(*, num_numeric=4, cardinalities=(3, 5), activation="reglu", **changes):
    torch.manual_seed(0)
    sizes = {"num_numeric": num_numeric, "cardinalities": cardinalities, "num_outputs": 1, "activation": activation}
    return FtTransformer(**{**SIZES, **NO_DROPOUT, **sizes, **changes})


def draw(num_rows=8):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(num_rows, 4, generator=generator), torch.randint(3, (num_rows, 2), generator=generator)


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_a_token_is_a_value_times_its_direction_and_a_bias():
    tokenizer = FeatureTokenizer(num_numeric=2, cardinalities=[3], width=2)
    with torch.no_grad():
        tokenizer.cls.copy_(torch.tensor([[9.0, 8.0]]))
        tokenizer.weight.copy_(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
        tokenizer.bias.copy_(torch.tensor([[0.5, 0.0], [0.0, 0.5], [10.0, 20.0]]))
        tokenizer.categories.table.weight.copy_(torch.tensor([[0.0, 0.0], [1.0, 1.0], [2.0, 3.0]]))

    tokens = tokenizer(torch.tensor([[2.0, -1.0]]), torch.tensor([[2]]))

    assert tokens.tolist() == [[[9.0, 8.0], [2.5, 4.0], [-3.0, -3.5], [12.0, 23.0]]]


def test_attention_is_that_of_torch():
    ours, theirs = Attention(num_heads=2, width=6, dropout=0.0), torch.nn.MultiheadAttention(6, 2, batch_first=True)
    with torch.no_grad():
        parts = (ours.query, ours.key, ours.value)
        theirs.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
        theirs.in_proj_bias.copy_(torch.cat([ours.query.bias, torch.zeros(6), ours.value.bias]))
        theirs.out_proj.load_state_dict(ours.out.state_dict())
    x = torch.randn(5, 7, 6)

    assert torch.allclose(ours(x, num_queries=7), theirs(x, x, x)[0], atol=1e-6)
    assert torch.allclose(ours(x, num_queries=1), theirs(x, x, x)[0][:, :1], atol=1e-6)


def test_the_order_of_features_does_not_matter():
    """No token carries a position: moved with its own weights, a feature contributes the same."""
    model, moved, (numeric, ids) = build(), build(), draw()
    order = torch.tensor([2, 0, 3, 1])
    with torch.no_grad():
        moved.tokenizer.weight.copy_(model.tokenizer.weight[order])
        moved.tokenizer.bias[:4] = model.tokenizer.bias[:4][order]

    assert torch.allclose(moved(numeric[:, order], ids), model(numeric, ids), atol=1e-6)
    assert not torch.allclose(model(numeric[:, order], ids), model(numeric, ids), atol=1e-2)


def test_each_token_reaches_the_prediction_through_attention_alone():
    model, (numeric, ids) = build(num_blocks=1), draw()
    with torch.no_grad():
        model.blocks[0].attention.value.weight.zero_()

    assert torch.allclose(model(numeric, ids), model(numeric + 1, ids))


def test_reglu_gates_one_half_by_the_other():
    gate = build().blocks[0].feed_forward[2]

    assert gate(torch.tensor([[2.0, 3.0, 5.0, -1.0]])).tolist() == [[10.0, 0.0]]


def test_sizes_are_those_worked_out_by_hand():
    """Width 6, hidden 12; tokens: [CLS] 6, 4 directions, 6 biases, 8 categories; the first block lacks a norm of 12."""
    attention = 3 * (6 * 6 + 6) + 6 * 6
    feed_forward = {"reglu": 12 + (6 * 24 + 24) + (12 * 6 + 6), "relu": 12 + (6 * 12 + 12) + (12 * 6 + 6)}
    tokens, head = 6 * (1 + 4 + 6 + 8), 12 + 7

    for activation, own in feed_forward.items():
        assert count(build(activation=activation)) == tokens + 2 * (attention + own) + 12 + head


def test_dropout_of_attention_is_drawn_in_training_alone():
    model, rows = build(attention_dropout=0.5), draw()

    assert not torch.equal(model.train()(*rows), model(*rows))
    assert torch.equal(model.eval()(*rows), model(*rows))
    assert torch.equal(model(*rows), build()(*rows))
