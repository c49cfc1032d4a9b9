import math

import torch

from autoencoders.latent.paths import linear, spherical

STEPS = torch.linspace(0, 1, 5)


def test_both_paths_join_their_ends_and_the_straight_one_is_even():
    a, b = torch.randn(3, 6), torch.randn(3, 6)
    for path in (linear(a, b, STEPS), spherical(a, b, STEPS, 0.3)):
        torch.testing.assert_close(path[:, 0], a)
        torch.testing.assert_close(path[:, -1], b)
    torch.testing.assert_close(linear(a, b, STEPS)[:, 2], (a + b) / 2)


def test_a_quarter_turn_about_a_center():
    a, b, center = torch.tensor([[3.0, 1.0]]), torch.tensor([[1.0, 3.0]]), torch.tensor([1.0, 1.0])
    angle = STEPS * math.pi / 2
    expected = 1 + 2 * torch.stack([angle.cos(), angle.sin()], dim=1)
    torch.testing.assert_close(spherical(a, b, STEPS, center)[0], expected)


def test_the_radius_changes_evenly():
    path = spherical(torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([[0.0, 3.0, 0.0]]), STEPS)
    torch.testing.assert_close(path[0].norm(dim=1), torch.linspace(1, 3, 5))


def test_the_spherical_path_of_collinear_codes_is_straight():
    a = torch.tensor([[1.0, 1.0], [0.0, 0.0]])
    b = torch.tensor([[-1.0, -1.0], [2.0, 0.0]])
    torch.testing.assert_close(spherical(a, b, STEPS), linear(a, b, STEPS))
