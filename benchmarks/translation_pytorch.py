"""The translation model of the example in PyTorch, which need not be installed; part of benchmarks.translation_2018."""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from examples.nmt_attention.preprocess.tokenizer import PAD, START


class Translator(nn.Module):
    """Bidirectional GRU, additive attention, GRU cell, tied output: what needs no loop is computed outside of it."""

    def __init__(self, source_size: int, target_size: int, embedding: int, units: int):
        """Lay out the layers; `units` of the decoder, half as many a direction of the encoder."""
        super().__init__()
        self.source, self.target = nn.Embedding(source_size, embedding), nn.Embedding(target_size, embedding)
        self.encoder = nn.GRU(embedding, units // 2, bidirectional=True, batch_first=True)
        self.initial = nn.Linear(units, units)
        self.key, self.query = nn.Linear(units, units), nn.Linear(units + embedding, units, bias=False)
        self.score = nn.Linear(units, 1, bias=False)
        self.cell = nn.GRUCell(embedding + units, units)
        self.readout = nn.Linear(embedding + 2 * units, embedding)

    def forward(self, source: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        """Return logits [B, T, V] for source [B, S] and the words [B, T] before each."""
        mask = source != PAD
        lengths = mask.sum(1).cpu()
        packed = nn.utils.rnn.pack_padded_sequence(self.source(source), lengths, batch_first=True, enforce_sorted=False)
        values, _ = nn.utils.rnn.pad_packed_sequence(self.encoder(packed)[0], batch_first=True)  # B S U
        state = torch.tanh(self.initial(values.sum(1) / lengths[:, None]))  # B U
        keys, embedded, outputs = self.key(values), self.target(words), []  # B S U, B T E
        for t in range(words.shape[1]):
            query = self.query(torch.cat([state, embedded[:, t]], -1))  # B U
            scores = self.score(torch.tanh(keys + query[:, None]))[..., 0]  # B S
            weights = scores.masked_fill(~mask, -torch.inf).softmax(-1)  # B S
            context = (weights[..., None].to(values.dtype) * values).sum(1)  # B U
            state = self.cell(torch.cat([embedded[:, t], context], -1), state)  # B U
            outputs.append(torch.cat([embedded[:, t], state, context], -1))
        read = self.readout(torch.stack(outputs, 1)) * self.readout.out_features**-0.5  # B T E
        return functional.linear(read, self.target.weight)  # B T V


def training_step(
    sizes: tuple[int, int], embedding: int, units: int, precision: str
) -> Callable[[tuple], dict[str, float]]:
    """Return a step on (source [B, S], target [B, T]), tensors of TensorFlow, that returns its loss."""
    torch.manual_seed(1)
    model = Translator(*sizes, embedding, units)
    optimizer = torch.optim.Adam(model.parameters())

    def step(batch: tuple) -> dict[str, float]:
        source, target = (torch.from_numpy(side.numpy()).long() for side in batch)
        words = functional.pad(target[:, :-1], (1, 0), value=START)
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            logits = model(source, words)
        loss = functional.cross_entropy(logits.float().flatten(0, 1), target.flatten(), ignore_index=PAD)
        loss.backward()
        optimizer.step()
        return {"loss": float(loss.detach())}

    return step
