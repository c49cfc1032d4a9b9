"""Pure functions and sums on tensors: what is measured. Plain numbers come out, never figures."""
