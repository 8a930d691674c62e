"""PyTorch counterpart of `lacuna bench train`, `sample` and `rollout`: same networks, batches and steps, float32.

    python bench/learning_torch.py train --model paper-latent [--compile]
    python bench/learning_torch.py sample --model latent-8 --members 16
    python bench/learning_torch.py rollout --model paper-physical

The networks are those of `pytorch_fixture.py`. What is only a matter of programming is done here as it is there: a draw evaluates
the branch of the condition once, a rollout transforms a drawn term once. `--compile` hands the networks to
torch.compile. Prints one JSON object.
"""

import argparse
import json
import math
import resource
import statistics
import time

import torch
from pytorch_fixture import Autoencoder, Score
from solver_torch import Flow, smooth_field

# Score networks by name: width, modes, embedding, points per side.
LATENT, PHYSICAL = (20, 4, 256, 16), (40, 6, 512, 64)
STEPS, TAU_MAX, TAU_MIN = 10, 0.4, 1e-3


def std(tau):
    return ((30 ** (2 * tau) - 1) / (2 * math.log(30))).sqrt()


def score(sizes):
    width, modes, embed, _ = sizes
    return Score(width, modes, embed)


class ScoreStep:
    """Denoising score matching on random latents."""

    def __init__(self, sizes, batch):
        self.net, self.batch = score(sizes), batch
        n = sizes[-1]
        self.w, self.z = torch.randn(2 * batch, n, n), torch.randn(2 * batch, n, n)

    def parameters(self):
        return [p for p in self.net.parameters() if p.requires_grad]

    def compile(self):
        self.net = torch.compile(self.net)

    def loss(self):
        index = torch.randperm(len(self.w))[: self.batch]
        w, z = self.w[index], self.z[index]
        tau = torch.rand(self.batch) * (1 - 1e-5) + 1e-5
        xi, spread = torch.randn_like(z), std(tau)[:, None, None]
        return ((self.net(tau, z + spread * xi, w) * spread + xi) ** 2).sum(dim=(1, 2)).mean()


class AutoencoderStep:
    """Reconstruction by the pair of autoencoders."""

    def __init__(self, width, batch):
        self.nets = [Autoencoder(width, attention=width == 64) for _ in range(2)]
        self.batch = batch
        self.fields = [torch.randn(2 * batch, 1, 64, 64) for _ in range(2)]

    def parameters(self):
        return [p for net in self.nets for p in net.parameters()]

    def compile(self):
        self.nets = [torch.compile(net) for net in self.nets]

    def loss(self):
        index = torch.randperm(len(self.fields[0]))[: self.batch]
        pairs = [(net, fields[index]) for net, fields in zip(self.nets, self.fields)]
        return sum(((net(h) - h) ** 2).mean() for net, h in pairs)


def train(args):
    step = {
        "paper-latent": lambda: ScoreStep(LATENT, 200),
        "paper-physical": lambda: ScoreStep(PHYSICAL, 20),
        "ae-8": lambda: AutoencoderStep(8, 32),
        "ae-16": lambda: AutoencoderStep(16, 16),
        "ae-64": lambda: AutoencoderStep(64, 4),
    }[args.model]()
    parameters = step.parameters()
    # The fused optimizer takes no complex weights.
    optimizer = torch.optim.Adam(parameters, lr=1e-3, fused=not any(p.is_complex() for p in parameters))
    if args.compile:
        step.compile()

    def once():
        optimizer.zero_grad(set_to_none=True)
        loss = step.loss()
        loss.backward()
        optimizer.step()
        return loss.item()

    return "ms_per_step", clock(once, args), {"batch": step.batch}


class Draw:
    """Encoding, ten Euler-Maruyama steps of the reverse SDE, decoding."""

    def __init__(self, model):
        self.latent = model != "paper-physical"
        sizes = LATENT if self.latent else PHYSICAL
        self.net, self.n = score(sizes).eval(), sizes[-1]
        self.condition, self.evaluate = self.net.condition, self.net.evaluate
        if self.latent:
            width = int(model.split("-")[1])
            self.encoder = Autoencoder(width, attention=width == 64).eval().encoder
            self.decoder = Autoencoder(width, attention=width == 64).eval().decoder
        i = torch.arange(STEPS, dtype=torch.float64) / (STEPS - 1)
        first, last = TAU_MAX ** (1 / 7), TAU_MIN ** (1 / 7)
        self.taus = torch.cat([(first + i * (last - first)) ** 7, torch.zeros(1, dtype=torch.float64)]).float()

    def compile(self):
        self.condition, self.evaluate = torch.compile(self.net.condition), torch.compile(self.net.evaluate)
        if self.latent:
            self.encoder, self.decoder = torch.compile(self.encoder), torch.compile(self.decoder)

    @torch.inference_mode()
    def __call__(self, w):
        z = self.encoder(w[:, None])[:, 0] if self.latent else w
        features = self.condition(z)
        members = len(w)
        x = std(self.taus[0]) * torch.randn(members, self.n, self.n)
        for i in range(STEPS):
            tau, delta = self.taus[i], self.taus[i] - self.taus[i + 1]
            g = 30**tau
            x = x + g**2 * delta * self.evaluate(tau.expand(members), x, features)
            if i + 1 < STEPS:
                x = x + delta.sqrt() * g * torch.randn_like(x)
        return self.decoder(x[:, None])[:, 0] if self.latent else x


def sample(args):
    draw = Draw(args.model)
    if args.compile:
        draw.compile()
    w = smooth_field(64, args.members, torch.float32)
    return "ms_per_draw", clock(lambda: draw(w), args), {"members": args.members}


def rollout(args):
    draw = Draw(args.model)
    if args.compile:
        draw.compile()
    flow = Flow(64, torch.float32)
    half = 0.5 * flow.dt * flow.viscosity * flow.k2
    keep, gain = (1 - half) / (1 + half), flow.dt / (1 + half)
    state = {"w_hat": torch.fft.rfft2(smooth_field(64, args.members, torch.float32))}

    @torch.inference_mode()
    def once():
        w_hat = state["w_hat"]
        h = 1e-3 * draw(torch.fft.irfft2(w_hat, s=(64, 64)))
        push = gain * (flow.force_hat + torch.fft.rfft2(h))
        for _ in range(args.every):
            w_hat = keep * w_hat + push
        state["w_hat"] = w_hat

    times = [t / args.every for t in clock(once, args)]
    return "ms_per_solver_step", times, {"members": args.members, "every": args.every}


def clock(once, args):
    """Milliseconds of each repetition after a warm-up, in which compilers compile."""
    for _ in range(args.warm_up):
        once()
    times = []
    for _ in range(args.rounds):
        begin = time.perf_counter()
        once()
        times.append(1e3 * (time.perf_counter() - begin))
    return times


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["train", "sample", "rollout"])
    parser.add_argument("--model", required=True)
    parser.add_argument("--members", type=int, default=1)
    parser.add_argument("--every", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--warm-up", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--compile", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    unit, times, sizes = {"train": train, "sample": sample, "rollout": rollout}[args.what](args)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024e-6
    print(
        json.dumps(
            {
                "implementation": f"PyTorch {torch.__version__} {'compiled' if args.compile else 'eager'}",
                "model": args.model,
                **sizes,
                "threads": args.threads,
                unit: statistics.median(times),
                f"least_{unit}": min(times),
                "peak_memory_mb": peak,
            }
        )
    )


if __name__ == "__main__":
    main()
