"""Random weights and outputs of the published networks, for the tests of `lacuna import --pytorch`.

Written from the description of the networks in arXiv 2506.20771 (two-branch conditional FNO, convolutional autoencoder
with attention), with the keys of the released state dicts. `--out DIR` gets score.pth, autoencoder.pth and expected.json;
without `--full` the networks are tiny and the files can be committed, with it they have the published sizes.
Needs PyTorch (CPU).
"""

import argparse
import json
import math
import pathlib

import torch
from torch import nn
from torch.nn import functional as F


class Spectral(nn.Module):
    def __init__(self, width, modes):
        super().__init__()
        self.modes = modes
        shape = (width, width, modes, modes)
        self.weights1 = nn.Parameter(torch.rand(shape, dtype=torch.cfloat) / width**2)
        self.weights2 = nn.Parameter(torch.rand(shape, dtype=torch.cfloat) / width**2)

    def forward(self, h):
        m, modes = self.modes, torch.fft.rfft2(h)
        out = torch.zeros_like(modes)
        out[:, :, :m, :m] = torch.einsum("bixy,ioxy->boxy", modes[:, :, :m, :m], self.weights1)
        out[:, :, -m:, :m] = torch.einsum("bixy,ioxy->boxy", modes[:, :, -m:, :m], self.weights2)
        return torch.fft.irfft2(out, s=h.shape[-2:])


class Fourier(nn.Module):
    def __init__(self, embed):
        super().__init__()
        self.W = nn.Parameter(torch.randn(embed // 2) * 30, requires_grad=False)

    def forward(self, tau):
        phase = tau[:, None] * self.W[None, :] * 2 * math.pi
        return torch.cat([phase.sin(), phase.cos()], dim=-1)


class Dense(nn.Module):
    def __init__(self, source, target):
        super().__init__()
        self.dense = nn.Linear(source, target)

    def forward(self, h):
        return self.dense(h)[..., None, None]


class Score(nn.Module):
    def __init__(self, width, modes, embed):
        super().__init__()
        self.fc0, self.fc0_w = nn.Linear(3, width), nn.Linear(3, width)
        self.embed = nn.Sequential(Fourier(embed), nn.Linear(embed, embed))
        self.dense0 = Dense(embed, width)
        for branch in "xw":
            for i in range(4):
                self.add_module(f"conv{i}_{branch}", Spectral(width, modes))
                self.add_module(f"w{i}_{branch}", nn.Conv2d(width, width, 1))
        self.transformation_net = nn.Sequential(
            nn.Conv2d(2 * width, width, 1), nn.GELU(), nn.Conv2d(width, width, 1), nn.GELU()
        )
        self.fc1, self.fc2 = nn.Linear(width, 128), nn.Linear(128, 1)

    def branch(self, letter, lift, field, time):
        n = field.shape[-1]
        at = torch.linspace(0, 1, n, device=field.device)
        x, y = at[:, None].expand(n, n), at[None, :].expand(n, n)
        stacked = torch.stack([field, x.expand_as(field), y.expand_as(field)], dim=-1)
        h = lift(stacked).permute(0, 3, 1, 2)
        for i in range(4):
            h = getattr(self, f"conv{i}_{letter}")(h) + getattr(self, f"w{i}_{letter}")(h) + time
            h = F.gelu(h) if i < 3 else h
        return h

    def condition(self, w):
        """The branch that depends on the condition alone."""
        return self.branch("w", self.fc0_w, w, 0.0)

    def evaluate(self, tau, x, features):
        """The rest, given what `condition` made."""
        time = self.dense0(F.silu(self.embed(tau)))
        h = torch.cat([self.branch("x", self.fc0, x, time), features], dim=1)
        h = self.transformation_net(h).permute(0, 2, 3, 1)
        h = self.fc2(F.gelu(self.fc1(h)))[..., 0]
        std = ((30 ** (2 * tau) - 1) / (2 * math.log(30))).sqrt()
        return h / std[:, None, None]

    def forward(self, tau, x, w):
        return self.evaluate(tau, x, self.condition(w))


def norm(channels):
    groups = 32 if channels % 32 == 0 else max(g for g in range(1, 9) if channels % g == 0)
    return nn.GroupNorm(groups, channels)


class Residual(nn.Module):
    def __init__(self, source, target):
        super().__init__()
        self.layer = nn.Sequential(
            norm(source), nn.SiLU(), nn.Conv2d(source, target, 3, padding=1),
            norm(target), nn.SiLU(), nn.Conv2d(target, target, 3, padding=1),
        )
        self.res = nn.Identity() if source == target else nn.Conv2d(source, target, 1)

    def forward(self, h):
        return self.res(h) + self.layer(h)


class SelfAttention(nn.Module):
    def __init__(self, channels, heads):
        super().__init__()
        self.qkv_project = nn.Linear(channels, 3 * channels, bias=False)
        self.mha = nn.MultiheadAttention(channels, heads, batch_first=True)
        self.out_project = nn.Linear(channels, channels, bias=False)

    def forward(self, h):
        batch, channels, n, m = h.shape
        tokens = h.reshape(batch, channels, n * m).transpose(1, 2)
        q, k, v = self.qkv_project(tokens).chunk(3, dim=-1)
        out = self.out_project(self.mha(q, k, v, need_weights=False)[0])
        return out.transpose(1, 2).reshape(batch, channels, n, m)


class Attention(nn.Module):
    def __init__(self, channels, heads):
        super().__init__()
        self.attention = nn.Sequential(norm(channels), SelfAttention(channels, heads))

    def forward(self, h):
        return h + self.attention(h)


def middle(w, heads, attention):
    """Two residual blocks at the latent resolution, attention between them."""
    inner = [Attention(4 * w, heads)] if attention else []
    return [Residual(4 * w, 4 * w), *inner, Residual(4 * w, 4 * w)]


class Encoder(nn.Module):
    def __init__(self, w, attention=True):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, w, 3, padding=1), Residual(w, 2 * w), nn.Conv2d(2 * w, 2 * w, 3, stride=2, padding=1),
            Residual(2 * w, 4 * w), nn.Conv2d(4 * w, 4 * w, 3, stride=2, padding=1), *middle(w, 8, attention),
            norm(4 * w), nn.SiLU(), nn.Conv2d(4 * w, 1, 3, padding=1),
        )

    def forward(self, h):
        return self.encoder(h)


class Decoder(nn.Module):
    def __init__(self, w, attention=True):
        super().__init__()
        self.decoder = nn.Sequential(
            nn.Conv2d(1, 4 * w, 3, padding=1), *middle(w, 4, attention),
            nn.Upsample(scale_factor=2), nn.Conv2d(4 * w, 4 * w, 3, padding=1), Residual(4 * w, 2 * w),
            nn.Upsample(scale_factor=2), nn.Conv2d(2 * w, 2 * w, 3, padding=1), Residual(2 * w, w),
            norm(w), nn.SiLU(), nn.Conv2d(w, 1, 3, padding=1),
        )

    def forward(self, h):
        return self.decoder(h)


class Autoencoder(nn.Module):
    def __init__(self, w, attention=True):
        super().__init__()
        self.encoder, self.decoder = Encoder(w, attention), Decoder(w, attention)

    def forward(self, h):
        return self.decoder(self.encoder(h))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--full", action="store_true", help="published sizes")
    args = parser.parse_args()
    torch.manual_seed(7)
    score = Score(*((20, 4, 256) if args.full else (4, 2, 8)))
    autoencoder = Autoencoder(64 if args.full else 2)
    for parameter in autoencoder.parameters():  # nothing left at its neutral start
        if parameter.dim() == 1:
            parameter.data += 0.1 * torch.randn_like(parameter)
    n = 16 if args.full else 8
    tau = 0.05
    x, w = torch.randn(2, n, n), torch.randn(2, n, n)
    field = torch.randn(1, 4 * n, 4 * n) if args.full else torch.randn(1, 2 * n, 2 * n)
    with torch.no_grad():
        latent = autoencoder.encoder(field[:, None])[:, 0]
        expected = {
            "x": x, "w": w, "score": score(torch.full((2,), tau), x, w),
            "field": field, "latent": latent, "reconstruction": autoencoder.decoder(latent[:, None])[:, 0],
        }
    args.out.mkdir(parents=True, exist_ok=True)
    torch.save(score.state_dict(), args.out / "score.pth")
    torch.save(autoencoder.state_dict(), args.out / "autoencoder.pth")
    text = {key: {"shape": list(value.shape), "values": [float(f"{v:.7g}") for v in value.flatten().tolist()]}
            for key, value in expected.items()}
    (args.out / "expected.json").write_text(json.dumps({"tau": tau, **text}))


if __name__ == "__main__":
    main()
