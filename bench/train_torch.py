"""PyTorch counterpart of training on a card: optimiser steps per second of the published networks.

The networks are those of pytorch_fixture.py (arXiv 2506.20771); batch, sizes and losses are those of the preset `paper`:
P-CDM on 64 x 64 fields, joint L-CDM with both autoencoders. Data are random: a step costs the same whatever they are.
Prints one JSON object per model.
"""

import argparse
import json
import math
import time

import torch
from pytorch_fixture import Autoencoder, Score


def std(tau):
    return ((30 ** (2 * tau) - 1) / (2 * math.log(30))).sqrt()[:, None, None]


def score_loss(score, z, w):
    """Mean over samples of |std s + xi|^2 at a random pseudo-time."""
    tau = torch.rand(z.shape[0], device=z.device) * (1 - 1e-5) + 1e-5
    xi = torch.randn_like(z)
    return ((score(tau, z + std(tau) * xi, w) * std(tau) + xi) ** 2).sum((1, 2)).mean()


def p_cdm():
    score = Score(width=40, modes=6, embed=512)
    return [score], lambda h, w: score_loss(score, h, w)


def joint():
    score, of_h, of_w = Score(width=20, modes=4, embed=256), Autoencoder(64), Autoencoder(64)

    def loss(h, w):
        z_h, z_w = of_h.encoder(h[:, None]), of_w.encoder(w[:, None])
        mse = torch.nn.functional.mse_loss
        reconstruction = 100 * mse(of_h.decoder(z_h)[:, 0], h) + mse(of_w.decoder(z_w)[:, 0], w)
        return reconstruction + score_loss(score, z_h[:, 0], z_w[:, 0])

    return [score, of_h, of_w], loss


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--model", choices=["p-cdm", "joint"], action="append")
    parser.add_argument("--batch", type=int, default=200)
    parser.add_argument("--steps", type=int, default=50, help="steps timed, after five to warm up")
    arguments = parser.parse_args()
    for name in arguments.model or ["p-cdm", "joint"]:
        torch.manual_seed(0)
        modules, loss = {"p-cdm": p_cdm, "joint": joint}[name]()
        parameters = [p for module in modules for p in module.to(arguments.device).parameters() if p.requires_grad]
        optimiser = torch.optim.Adam(parameters, lr=1e-3)
        h, w = (torch.randn(arguments.batch, 64, 64, device=arguments.device) for _ in range(2))

        def step():
            optimiser.zero_grad(set_to_none=True)
            value = loss(h, w)
            value.backward()
            optimiser.step()
            return value

        def wait():
            if arguments.device == "cuda":
                torch.cuda.synchronize()

        for _ in range(5):
            step()
        wait()
        begin = time.perf_counter()
        for _ in range(arguments.steps):
            step()
        wait()
        seconds = (time.perf_counter() - begin) / arguments.steps
        count = sum(p.numel() * (2 if p.is_complex() else 1) for p in parameters)
        print(json.dumps({"model": name, "batch": arguments.batch, "parameters": count, "steps_per_s": 1 / seconds}))


if __name__ == "__main__":
    main()
